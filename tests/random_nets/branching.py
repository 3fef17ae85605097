"""Branches of a random net, skips, and what they may depend on."""

from __future__ import annotations

from typing import Any

from attribute_values import has_map
from bodies import body
from expansion import Trace
from items import Author, Item, Scope, braces, sequence, tensors
from operators import (
    layer,
    on_it,
    shifted,
)
from spelling import spelled

from netdsl.ops import activation, conv, elementwise, function, linear, norm, pieces, pool
from netdsl.ops.base import Op
from netdsl.tensor import TensorType


def branches(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int) -> Item | None:
    """`add { | F | G | it }`, by every operator that joins."""
    dice, x = author.dice, trace.types[it]
    op = dice.choice(KEEPING_BRANCHES if keep else (*KEEPING_BRANCHES, pieces.Concat, linear.MatMul))
    values: dict[str, Any] = {}
    if op is function.Compare:
        values["relation"] = dice.choice(function.RELATIONS)
    if op is elementwise.Div and dice.chance(50):
        values["eps"] = 0.25
    if op is pieces.Concat:
        if not x.rank:
            return None
        axis = dice.between(-x.rank, x.rank - 1)
        values |= {"axis": axis} if dice.chance(50) and axis else {}
    if op is linear.MatMul:
        if x.rank < 2:
            return None
        values[dice.choice(("transpose_a", "transpose_b"))] = True
    count = op.operands[1] or dice.between(2, 3)
    parts = [branch(author, trace, scope, it, op, place, depth) for place in range(count)]
    author.count(f"branches: {op.word}")
    settings = spelled(dice, op, values, author.count)
    bars = " ".join(f"| {part.text}" for part in parts)
    if dice.chance(60) or any("\n" in part.text or part.closes for part in parts):
        bars = "\n" + "\n".join(f"| {part.text}" for part in parts) + "\n"

    def run(trace: Trace, scope: Scope, it: int) -> int:
        operands = [part.run(trace, scope, it) for part in parts]
        (result,) = trace.apply(op(**values), *operands)
        return result

    return Item(f"{op.word}{settings} {{ {bars} }}", run)


KEEPING_BRANCHES = (
    elementwise.Add,
    elementwise.Mul,
    elementwise.Maximum,
    elementwise.Minimum,
    elementwise.Sub,
    elementwise.Div,
    function.Power,
    function.Compare,
    function.Select,
)


def branch(author: Author, trace: Trace, scope: Scope, it: int, op: type[Op], place: int, depth: int) -> Item:
    dice, x = author.dice, trace.types[it]
    if op is function.Power and place:
        return sequence(author, [layer(author, activation.Tanh, {}), shifted(author)])
    if op is function.Power or (op is elementwise.Div and place):
        return sequence(author, [layer(author, activation.Softplus, {}), shifted(author)])
    if dice.chance(25):
        author.count("branch: it")
        return Item("it", lambda trace, scope, it: it)
    if op is elementwise.Mul and has_map(x) and dice.chance(40):
        author.count("branch: a gate")
        steps = [
            layer(author, pool.Pool, {"function": "avg", "whole": True}),
            layer(author, conv.Conv, {"out": x.shape[0], "kernel": (1,)}),
            layer(author, activation.Sigmoid, {}),
        ]
        return sequence(author, steps)
    found = [reference for reference, other in tensors(trace, scope) if other == x]
    if place and found and dice.chance(20):  # the first branch reads `it`, which nothing else may
        author.count("branch: a named tensor")
        other = dice.choice(found)
        start = Item(other.text, lambda trace, scope, it: other.value(trace, scope))
        return sequence(author, [start, on_it(author, x, True)])
    author.count("branch: layers")
    return body(author, trace, scope, it, True, depth - 1)


def skip(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int) -> Item | None:
    """`skip when=c { F } via { G }` in all of its forms."""
    dice, x = author.dice, trace.types[it]
    said, joined = ("", True) if dice.chance(60) else when(author, scope)
    free = not keep and not joined
    left = body(author, trace, scope, it, not free, depth - 1)
    right = body(author, trace, scope, it, True, depth - 1, 2) if dice.chance(40) else None
    if not keep and has_map(x) and min(x.shape[1:]) > 1 and dice.chance(40):
        # both sides change the shape alike: a projection
        out, stride = dice.between(1, 6), dice.between(1, 2)
        first = layer(author, conv.Conv, {"out": out, "kernel": (3,), "padding": (1,), "stride": (stride,)})
        left = sequence(author, [first, layer(author, norm.BatchNorm, {})])
        right = layer(author, conv.Conv, {"out": out, "kernel": (1,), "stride": (stride,), "bias": False})
        author.count("skip with a projection")
    author.count(f"skip{' via' if right else ''}{f' when={str(joined).lower()}' if said else ''}")
    text = f"skip{said} {braces(author, left)}" + (f" via {braces(author, right)}" if right else "")

    def run(trace: Trace, scope: Scope, it: int) -> int:
        result = left.run(trace, scope, it)
        if not joined:
            return result
        shortcut = right.run(trace, scope, it) if right else it
        (result,) = trace.apply(elementwise.Add(), result, shortcut)
        return result

    return Item(text, run)


def when(author: Author, scope: Scope) -> tuple[str, bool]:
    dice = author.dice
    known = [(name, value) for name, value in scope.values.items() if isinstance(value, bool)]
    choices = [("true", True), ("false", False), ("(1 < 2)", True), ("(not training)", True), *known]
    text, value = dice.choice([*choices, ("(2 >= 3 or training)", False)])
    return f" when={text}", value


def condition(author: Author, scope: Scope, x: TensorType) -> tuple[str, bool]:
    """Something settled when compiled, and whether it holds."""
    dice = author.dice
    choices: list[tuple[str, bool]] = [
        ("true", True),
        ("training", False),
        ("not training", True),
        ("it.size > 4 and it.rank == 3", x.size > 4 and x.rank == 3),
        ("it.rank == 1 or it.rank == 2", x.rank in (1, 2)),
        ("2**3 % 3 == 5 // 2", True),
        ("1 / 4 < 0.3", True),
        ("-1 >= 0", False),
        ('"a" == "b"', False),
        ("len([1, 2]) != 2", False),
        ("sum(range(4)) <= ceil(5.5) - floor(0.5)", True),
    ]
    if x.rank:
        choices += [("channels == features", x.shape[0] == x.shape[-1]), ("channels > 3", x.shape[0] > 3)]
    if x.rank == 3:
        choices += [("it.height == it.width", x.shape[1] == x.shape[2])]
    choices += [(name, value) for name, value in scope.values.items() if isinstance(value, bool)]
    return dice.choice(choices)
