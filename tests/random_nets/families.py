"""Families of a random net: names with indices, and values by tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attribute_values import has_map
from blocks import family_block
from bodies import body
from expansion import Trace
from items import Author, Item, Reference, Scope, sequence
from operators import (
    guarded,
    literal,
    on_it,
    own,
)

from netdsl.ops import activation, elementwise
from netdsl.ops.base import Op
from netdsl.tensor import TensorType


def family(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int) -> Item | None:
    """`for i in ... { a -> F as e[i] }`, then joined, looped over, or left to be named."""
    if author.loops:
        return None
    dice = author.dice
    start, made, key = author.tensor_name(), author.tensor_name(), author.name("i", "key")
    keys: list[Any] = dice.choice(([0, 1, 2], [3, 1], ["low", "high"], [True, False], [0.5, 2]))
    with author.looping():
        inner = body(author, trace, scope, it, True, 0, 2)
    aside = dice.chance(50)
    source = own(start)
    if aside:
        one_line = guarded(author, activation.Tanh, {})
        inner = sequence(author, [one_line, on_it(author, trace.types[it], True)], one_line=True)
        author.count("let of a family")
        text = f"let {made}[{key}] = {start} -> {inner.text}"
    else:
        author.count("as of a family")
        text = (
            f"{start} -> {inner.text} as {made}[{key}]" if not (inner.opens or inner.closes or inner.is_named) else ""
        )
        if not text:
            text = f"{start}\n{inner.text}\nit as {made}[{key}]"

    def run(trace: Trace, scope: Scope, it: int) -> int:
        scope.tensors[start] = it
        members: dict[tuple[Any, ...], int] = {}
        for value in keys:
            result = inner.run(trace, scope.inner(), source.value(trace, scope))
            members[(value,)] = result
            it = it if aside else result
        scope.tensors[made] = members
        return it

    loop_ = Item(f"it as {start}\nfor {key} in {literal(keys)} {{ {text} }}", run, True, True)
    return sequence(author, [loop_, *family_used(author, made, keys, trace.types[it])])


def family_used(author: Author, made: str, keys: Sequence[Any], x: TensorType) -> list[Item]:
    dice = author.dice
    form = dice.below(4 if has_map(x) else 3)
    members = _members(made)
    if form == 3:
        return [family_block(author, made, x)]
    if form == 0:
        op = dice.choice((elementwise.Add, elementwise.Mul, elementwise.Maximum, elementwise.Minimum))
        author.count("family joined")
        return [_joined(op, made, members)]
    if form == 1:
        name, other = author.name("i"), author.name("member", "t")
        copy = author.tensor_name()
        author.count("family looped over")

        def run(trace: Trace, scope: Scope, it: int) -> int:
            results = {}
            for place, member in enumerate(members(scope)):
                (results[(place,)],) = trace.apply(activation.Silu(), member)
            scope.tensors[copy] = results
            return it

        text = f"for {name}, {other} in enumerate({made}) {{ let {copy}[{name}] = {other} -> silu }}"
        return [Item(text, run, True, True), _joined(elementwise.Add, copy, _members(copy))]
    author.count("family member")
    key = dice.choice(keys)
    chosen = Reference(f"{made}[{literal(key)}]", lambda trace, scope: scope.tensors[made][(key,)])  # type: ignore[index]
    return [Item(chosen.text, lambda trace, scope, it: chosen.value(trace, scope), opens=True)] + (
        [on_it(author, x, True)] if dice.chance(50) else []
    )


def _members(made: str) -> Callable[[Scope], list[int]]:
    def members(scope: Scope) -> list[int]:
        known = scope.tensors[made]
        assert isinstance(known, dict)
        return list(known.values())

    return members


def _joined(op: type[Op], made: str, members: Callable[[Scope], list[int]]) -> Item:
    """`add(e)`. What `it` was has a name, for nothing may be dropped."""

    def run(trace: Trace, scope: Scope, it: int) -> int:
        (result,) = trace.apply(op(), *members(scope))
        return result

    return Item(f"{op.word}({made})", run, opens=True)


def table(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int) -> Item | None:
    """A family of two keys, a row of it joined."""
    if author.loops:
        return None
    dice = author.dice
    start, made = author.tensor_name(), author.tensor_name()
    a, b = author.name("i"), author.name("j")
    rows, columns, row = dice.between(1, 2), dice.between(2, 3), dice.below(1)
    inner = on_it(author, trace.types[it], True)
    text = (
        f"it as {start}\nfor {a} in range({rows}) {{ for {b} in range({columns}) "
        f"{{ let {made}[{a}, {b}] = {start} -> {inner.text} }} }}"
    )

    def run(trace: Trace, scope: Scope, it: int) -> int:
        scope.tensors[start] = it
        scope.tensors[made] = {(i, j): inner.run(trace, scope.inner(), it) for i in range(rows) for j in range(columns)}
        return it

    def joined(trace: Trace, scope: Scope, it: int) -> int:
        known = scope.tensors[made]
        assert isinstance(known, dict)
        (result,) = trace.apply(elementwise.Add(), *(known[(row, j)] for j in range(columns)))
        return result

    return sequence(author, [Item(text, run, True, True), Item(f"add({made}[{row}])", joined, opens=True)])
