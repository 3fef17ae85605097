"""Single layers of a random net: on `it`, on named tensors, on weights of their own."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from attribute_values import (
    ANY,
    BOUNDED,
    KEEPING,
    POSITIVE,
    Values,
    fits,
    small,
)
from dice import Dice
from expansion import Trace, bound
from items import IT, Author, Item, Reference, Scope, sequence, tensors
from spelling import Expression, number, spelled

from netdsl.ops import activation, conv, elementwise, function, linear, maps, norm, pieces, pool
from netdsl.ops import sequence as sequence_ops
from netdsl.ops.base import Op
from netdsl.tensor import TensorType

FAVOURED = {
    conv.Conv: 2,
    conv.UpConv: 3,
    pool.Pool: 4,
    maps.Upsample: 3,
    maps.Pad: 2,
    maps.PixelShuffle: 1,
    function.Apply: 2,
    sequence_ops.Position: 3,
}
"""Those with the most attributes are taken more often, by so much."""
LISTED = 24
"""Most numbers of a weight that the text lists."""
WORDS = (*ANY, *(op for op, times in FAVOURED.items() for _ in range(times)))
KEEPING_WORDS = (*KEEPING, conv.Conv, conv.Conv)
JOINS = (elementwise.Add, elementwise.Mul, elementwise.Sub, elementwise.Maximum, elementwise.Minimum)


def layer(author: Author, op: type[Op], values: Values, operands: Sequence[Reference] = ()) -> Item:
    """One step; without operands it works on `it`."""
    text = op.word + (f"({', '.join(operand.text for operand in operands)})" if operands else "")
    text += spelled(author.dice, op, values, author.count)

    def run(trace: Trace, scope: Scope, it: int) -> int:
        given = [it if operand is IT else operand.value(trace, scope) for operand in operands] or [it]
        (result,) = trace.apply(bound(op, values, scope.values, trace.types[it]), *given)
        return result

    return Item(text, run)


def guarded(author: Author, op: type[Op], values: Values) -> Item:
    """A step, after others that bring its operand to where it is well-conditioned."""
    step = layer(author, op, values)
    if op in POSITIVE:
        start = author.dice.choice((activation.Abs, activation.Softplus, activation.Sigmoid))
        return sequence(author, [layer(author, start, {}), shifted(author), step], one_line=True)
    if op in BOUNDED:
        return sequence(author, [layer(author, activation.Tanh, {}), step], one_line=True)
    return step


def shifted(author: Author) -> Item:
    return layer(author, elementwise.Shift, {"amount": 0.5 + small(author.dice)})


def on_it(author: Author, x: TensorType, keep: bool) -> Item:
    """Any operator of one operand."""
    dice = author.dice
    for _ in range(12):
        op = dice.choice(KEEPING_WORDS if keep else WORDS)
        values = (KEEPING if keep else ANY)[op](dice, x)
        if values is None:
            continue
        resolved = op(**values).resolve((x,))
        if fits(resolved.infer((x,))[0].shape):
            return guarded(author, op, values)
    return layer(author, activation.Relu, {})


# Joins.


def spreads(first: TensorType, second: TensorType) -> bool:
    """Whether two tensors join; both have as many axes, or the one with fewer a single element."""
    if first.rank != second.rank:
        return min(first, second, key=lambda type: type.rank).size == 1
    return all(a == b or 1 in (a, b) for a, b in zip(first.shape, second.shape, strict=True))


def is_covered(x: TensorType, other: TensorType) -> bool:
    """Whether joining `other` leaves the type of x as it is."""
    return other.batch <= x.batch and other.rank <= x.rank and elementwise_shape(x, other) == x.shape


def elementwise_shape(*types: TensorType) -> tuple[int, ...]:
    return elementwise.Add().infer(types)[0].shape


def candidates(trace: Trace, scope: Scope, x: TensorType, keep: bool) -> list[Reference]:
    return [
        reference
        for reference, other in tensors(trace, scope)
        if spreads(x, other) and fits(elementwise_shape(x, other)) and (not keep or is_covered(x, other))
    ]


def with_named(author: Author, trace: Trace, scope: Scope, x: TensorType, keep: bool) -> Item | None:
    """A join with a tensor made earlier, `it` said or left out."""
    found = candidates(trace, scope, x, keep)
    if not found:
        return None
    dice = author.dice
    op = dice.choice(JOINS)
    other = dice.choice(found)
    if dice.chance(25):
        author.count("layer called in an expression")
        word = dice.choice((activation.Relu, activation.Tanh, activation.Abs, activation.Sigmoid))
        other = called(word, other)
    form = dice.below(4 if op is elementwise.Sub else 5)
    author.count(("it left out", "it said", "it last", "it twice", "three operands")[min(form, 4)])
    if form == 0:
        # what is left out comes first: sub(a) is it - a
        text, operands = (other,), (IT, other)
    else:
        text = operands = ((IT, other), (other, IT), (IT, IT), (IT, other, IT))[form - 1]
    step = layer(author, op, {}, operands)
    return step._replace(text=f"{op.word}({', '.join(operand.text for operand in text)})")


def called(op: type[Op], operand: Reference) -> Reference:
    """`relu(a)`, as an argument."""

    def value(trace: Trace, scope: Scope) -> int:
        (result,) = trace.apply(op(), operand.value(trace, scope))
        return result

    return Reference(f"{op.word}({operand.text})", value)


def param(author: Author, name: str, extents: tuple[int, ...], kind: str = "normal") -> Item:
    """`param name: shape = init`."""
    dice = author.dice
    spaced = len(extents) == 1 or dice.chance(40)
    author.count("shape spaced" if spaced else "shape closed up")
    start = dice.choice(("1", "0.5", "normal(0.5)", "uniform(0.25)"))
    listed = prod(extents) <= LISTED and dice.chance(25)
    if listed:
        start = _list(dice, extents)
    author.count("param = list" if listed else f"param = {start.split('(')[0]}")

    def run(trace: Trace, scope: Scope, it: int) -> int:
        scope.tensors[name] = trace.parameter(extents, kind, trainable=not listed)
        return it

    return Item(f"param {name}: {(' x ' if spaced else 'x').join(map(str, extents))} = {start}", run, True, True)


def _list(dice: Dice, extents: tuple[int, ...]) -> str:
    """Numbers in lists, nested as the extents; equal rows are a repetition at times."""
    if not extents:
        return dice.choice(("1", "0.5", "1e-2", "-2"))
    if dice.chance(20):
        return f"[{_list(dice, extents[1:])}]*{extents[0]}"
    return f"[{', '.join(_list(dice, extents[1:]) for _ in range(extents[0]))}]"


def own(name: str) -> Reference:
    return Reference(name, lambda trace, scope: scope.tensors[name])  # type: ignore[arg-type, return-value]


def with_param(author: Author, x: TensorType, keep: bool) -> Item | None:
    """A join with a weight of its own."""
    if not x.rank:
        return None
    dice = author.dice
    name = author.tensor_name()
    op = dice.choice((*JOINS, elementwise.Div))
    extents = (1,) if dice.chance(20) else tuple(1 if dice.chance(50) else n for n in x.shape)
    kind = "positive" if op is elementwise.Div else "normal"
    step = layer(author, op, {}, (IT, own(name)))
    return sequence(author, [param(author, name, extents, kind), step])


def divided(author: Author, x: TensorType, keep: bool) -> Item:
    """A quotient with a divisor away from zero."""
    name = author.tensor_name()
    values: Values = {"eps": small(author.dice)} if author.dice.chance(60) else {}
    chain = sequence(author, [layer(author, activation.Abs, {}), shifted(author)], one_line=True)
    return sequence(author, [let(author, name, chain), layer(author, elementwise.Div, values, (IT, own(name)))])


def chosen(author: Author, x: TensorType, keep: bool) -> Item:
    """A comparison with a tensor near `it`, and a choice by it: relu with a bend elsewhere."""
    dice = author.dice
    name, mask = author.tensor_name(), author.tensor_name()
    near = sequence(author, [layer(author, activation.Tanh, {}), shifted(author)], one_line=True)
    compared = layer(author, function.Compare, {"relation": dice.choice(function.RELATIONS)}, (IT, own(name)))
    kept = let(author, mask, Item(compared.text, compared.run, opens=True))
    return sequence(
        author, [let(author, name, near), kept, layer(author, function.Select, {}, (own(mask), IT, own(name)))]
    )


def raised(author: Author, x: TensorType, keep: bool) -> Item:
    """A power of what is above 0."""
    name = author.tensor_name()
    exponent = layer(author, activation.Tanh, {})
    base = [layer(author, activation.Sigmoid, {}), shifted(author)]
    return sequence(author, [let(author, name, exponent), *base, layer(author, function.Power, {}, (IT, own(name)))])


def let(author: Author, name: str, chain: Item, start: Reference = IT) -> Item:
    """`let name = it -> chain`: `it` stays."""
    author.count("let of a tensor")

    def run(trace: Trace, scope: Scope, it: int) -> int:
        first = it if start is IT else start.value(trace, scope)
        scope.tensors[name] = chain.run(trace, scope, first)
        return it

    return Item(f"let {name} = {start.text} -> {chain.text}", run, True, True)


def product(author: Author, x: TensorType) -> Item | None:
    """A matrix product, of `it` with itself or with a weight of its own."""
    if x.rank < 2:
        return None
    dice = author.dice
    *lead, rows, columns = x.shape
    if dice.chance(50):
        flag = dice.choice(("transpose_a", "transpose_b"))
        size = columns if flag == "transpose_a" else rows
        if fits((*lead, size, size)):
            return layer(author, linear.MatMul, {flag: True}, (IT, IT))
    swap, turned = dice.chance(30), dice.chance(50)
    inner, out = (rows if swap else columns), dice.between(1, 6)
    name = author.tensor_name()
    values: Values = ({"transpose_a": True} if swap else {}) | ({"transpose_b": True} if turned else {})
    weight = param(author, name, (*lead, out, inner) if turned else (*lead, inner, out), "scaled")
    if dice.chance(20) and not swap and not turned:
        # it second: (rows' x rows) (rows x columns)
        weight = param(author, name, (*lead, out, rows), "scaled")
        return sequence(author, [weight, layer(author, linear.MatMul, {}, (own(name), IT))])
    return sequence(author, [weight, layer(author, linear.MatMul, values, (IT, own(name)))])


def joined_end_to_end(author: Author, trace: Trace, scope: Scope, x: TensorType) -> Item | None:
    """A concatenation: with itself, a named tensor, or a weight."""
    if not x.rank:
        return None
    dice = author.dice
    axis = dice.between(0, x.rank - 1)
    values: Values = {"axis": axis - (x.rank if dice.chance(50) else 0)} if axis or dice.chance(30) else {}
    rest = (*x.shape[:axis], 0, *x.shape[axis + 1 :])
    found = [
        reference
        for reference, other in tensors(trace, scope)
        if other.rank == x.rank and (*other.shape[:axis], 0, *other.shape[axis + 1 :]) == rest
    ]
    form = dice.below(3)
    if form == 0 and found:
        other = dice.choice(found)
        operands = dice.choice(((IT, other), (other, IT), (other, IT, other)))
    elif form == 1:
        name = author.tensor_name()
        extents = (*x.shape[:axis], dice.between(1, 3), *x.shape[axis + 1 :])
        step = layer(author, pieces.Concat, values, dice.choice(((IT, own(name)), (own(name), IT))))
        return sequence(author, [param(author, name, extents), step])
    else:
        operands = (IT, IT)
    if not fits((*x.shape[:axis], 4 * x.shape[axis], *x.shape[axis + 1 :])):
        return None
    return layer(author, pieces.Concat, values, operands)


# What fits maps of any number of channels and any extents: for blocks and loops, whose values differ from call to call.


def anywhere(author: Author, names: dict[str, type], keep: bool) -> Item:
    """A layer that fits every map; it may use the numbers, words and booleans in `names`."""
    dice = author.dice
    if not keep and dice.chance(60):
        return convolution(author, width(author, names), names)
    words = [name for name, kind in names.items() if kind is Op]
    if words and dice.chance(50):
        author.count("word as a parameter")
        return by_name(dice.choice(words))
    amounts = [name for name, kind in names.items() if kind is float]
    if amounts and dice.chance(60):
        factor = dice.choice(amounts)
        return layer(author, elementwise.Scale, {"factor": Expression(factor, lambda scope, it: scope[factor])})
    op, values = dice.choice(
        (
            (activation.Relu, {}),
            (norm.BatchNorm, {"eps": 1e-3} if dice.chance(30) else {}),
            (norm.LayerNorm, {"axis": 0}),
            (norm.GroupNorm, {"groups": 1}),
            (norm.GroupNorm, {"groups": Expression("channels", _channels)}),
            (norm.LRN, {"size": 3, "alpha": 0.5}),
            (activation.PRelu, {}),
            (activation.Softmax, {"axis": 0}),
            (activation.HardSwish, {}),
            (pool.Pool, {"function": "max", "kernel": (3,), "stride": (1,), "padding": (1,)}),
            (pool.Pool, {"function": "avg", "kernel": (3,), "stride": (1,), "same": True, "count_pad": False}),
        )
    )
    if dice.chance(30):
        return convolution(author, Expression("channels", _channels), names)
    return layer(author, op, values)


def _channels(scope: Any, it: TensorType) -> int:
    return it.shape[0]


def by_name(name: str) -> Item:
    """A parameter that is an operator's word or a block, as a step."""

    def run(trace: Trace, scope: Scope, it: int) -> int:
        target = scope.values[name]
        if isinstance(target, type):
            (result,) = trace.apply(target(), it)
            return result
        return target(trace, it)

    return Item(name, run)


def width(author: Author, names: dict[str, type]) -> Expression | int:
    """A number of channels: a parameter, or arithmetic with one."""
    dice = author.dice
    numbers = [name for name, kind in names.items() if kind is int]
    if not numbers or dice.chance(20):
        return dice.choice(
            (
                4,
                Expression("channels // 2 + 1", lambda scope, it: it.shape[0] // 2 + 1),
                Expression("min(channels, 6)", lambda scope, it: min(it.shape[0], 6)),
            )
        )
    name = dice.choice(numbers)
    author.count("number as a parameter")
    return dice.choice(
        (
            Expression(name, lambda scope, it: scope[name]),
            Expression(f"2*{name}", lambda scope, it: 2 * scope[name]),
            Expression(f"{name} + 1", lambda scope, it: scope[name] + 1),
            Expression(f"max({name} - 1, 1)", lambda scope, it: max(scope[name] - 1, 1)),
            Expression(f"{name} % 3 + 2", lambda scope, it: scope[name] % 3 + 2),
            Expression(f"round({name}, 4)", lambda scope, it: _rounded(scope[name], 4)),
        )
    )


def _rounded(value: int, multiple: int) -> int:
    """MobileNet's rule: the nearest multiple, at least one, never more than a tenth below."""
    nearest = max(multiple, (2 * value + multiple) // (2 * multiple) * multiple)
    return nearest + multiple if 10 * nearest < 9 * value else nearest


def convolution(author: Author, out: Expression | int, names: dict[str, type]) -> Item:
    """One that keeps the extents of every map."""
    dice = author.dice
    k = dice.choice((1, 3, 5))
    values: Values = {"out": out, "kernel": (k,)}
    if k > 1:
        values |= {"same": True} if dice.chance(50) else {"padding": (k // 2,)}
    if str(out) == "channels" and dice.chance(50):
        values["groups"] = out
    booleans = [name for name, kind in names.items() if kind is bool]
    if booleans and dice.chance(60):
        flag = dice.choice(booleans)
        values["bias"] = Expression(flag, lambda scope, it: scope[flag])
    elif dice.chance(40):
        values["bias"] = False
    return layer(author, conv.Conv, values)


def literal(value: Any) -> str:
    """A value as an argument or a default has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, type):
        return value.word
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, str):
        return f'"{value}"'
    return str(value) if isinstance(value, float) else number(value)
