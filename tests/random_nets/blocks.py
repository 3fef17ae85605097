"""Blocks of a random net: parameters of every kind, further inputs, blocks as values, shared blocks and layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attribute_values import CHANNELS, has_map
from expansion import Trace
from items import IT, Author, Item, Reference, Scope, braces, named, sequence, tensors
from operators import anywhere, by_name, layer, literal
from spelling import Expression, spelled

from netdsl.ops import activation, conv, elementwise, linear, norm, pieces
from netdsl.ops.base import Op
from netdsl.tensor import TensorType

WORDS: tuple[type[Op], ...] = (activation.Relu, activation.Silu, activation.Tanh, activation.HardSigmoid)
DRAWS: dict[type, Callable[[Author], Any]] = {
    int: lambda author: author.dice.between(2, 6),
    float: lambda author: author.dice.between(1, 12) / 8,
    bool: lambda author: author.dice.chance(50),
    str: lambda author: author.dice.choice(("plain", "deep")),
    list: lambda author: [author.dice.between(1, 5) for _ in range(author.dice.below(3))],
    Op: lambda author: author.dice.choice(WORDS),
}
"""The kinds of parameters, and values for each."""
KINDS = {int: "width", float: "factor", bool: "wide", str: "style", list: "widths", Op: "act"}


def parameters(author: Author) -> dict[str, type]:
    """Some parameters of a block or net: names and kinds."""
    return {author.name(name): kind for kind, name in KINDS.items() if author.dice.chance(35)}


def declared(author: Author, names: dict[str, type], most: int | None = None) -> tuple[str, dict[str, Any]]:
    """The parameters in parentheses, the last of them (all but `most`, at least) with defaults, and those defaults."""
    if not names:
        return author.dice.choice(("", "()")), {}
    first = author.dice.below((len(names) if most is None else most) + 1)
    defaults = {name: DRAWS[kind](author) for name, kind in list(names.items())[first:]}
    shown = [f"{name} = {literal(defaults[name])}" if name in defaults else name for name in names]
    return f"({', '.join(shown)})", defaults


def given(author: Author, names: dict[str, type], defaults: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Arguments of a call, by position, by name or left to their defaults; and what the parameters become."""
    dice = author.dice
    values = dict(defaults)
    by_position, by_name_ = [], []
    for name, kind in names.items():
        if name in defaults and dice.chance(40):
            author.count("default taken")
            continue
        values[name] = DRAWS[kind](author)
        if len(by_position) == list(names).index(name) and not by_name_ and dice.chance(70):
            author.count("argument by position")
            by_position.append(literal(values[name]))
        else:
            author.count("argument by name")
            by_name_.append(f"{name}={literal(values[name])}")
    shown = [*by_position, *dice.order(by_name_)]
    return f"({', '.join(shown)})" if shown or dice.chance(30) else "", values


def steps(author: Author, names: dict[str, type], keep: bool) -> Item:
    """A body that fits every map, whatever the parameters are."""
    dice = author.dice
    items = [anywhere(author, names, keep) for _ in range(dice.between(1, 3))]
    for name, kind in names.items():
        inner = anywhere(author, names, True)
        if kind is bool and dice.chance(60):
            items.append(_if(author, name, lambda scope, name=name: scope.values[name], inner))
            author.count("boolean as a parameter")
        if kind is str:
            items.append(_if(author, f'{name} == "deep"', lambda scope, name=name: scope.values[name] == "deep", inner))
            author.count("string as a parameter")
        if kind is list:
            items.append(_over(author, name, keep))
            author.count("list as a parameter")
    if dice.chance(30):
        items.append(_skip(author, anywhere(author, names, True)))
    if dice.chance(20) and not keep:
        items.append(_dense(author, anywhere(author, names, False)))
    return sequence(author, items)


def _if(author: Author, asked: str, holds: Callable[[Scope], bool], inner: Item) -> Item:
    return Item(
        f"if {asked} {braces(author, inner)}",
        lambda trace, scope, it: inner.run(trace, scope, it) if holds(scope) else it,
    )


def _over(author: Author, widths: str, keep: bool) -> Item:
    """`for w in widths { ... }`."""
    name = author.name("w")
    if keep:
        amount = Expression(f"{name} / 8", lambda scope, it: scope[name] / 8)
        inner = layer(author, elementwise.Shift, {"amount": amount})
    else:
        inner = layer(author, conv.Conv, {"out": Expression(name, lambda scope, it: scope[name]), "kernel": (1,)})

    def run(trace: Trace, scope: Scope, it: int) -> int:
        for value in scope.values[widths]:
            round_ = scope.inner()
            round_.values[name] = value
            it = inner.run(trace, round_, it)
        return it

    return Item(f"for {name} in {widths} {braces(author, inner)}", run)


def _skip(author: Author, inner: Item) -> Item:
    def run(trace: Trace, scope: Scope, it: int) -> int:
        (result,) = trace.apply(elementwise.Add(), inner.run(trace, scope, it), it)
        return result

    return Item(f"skip {braces(author, inner)}", run)


def _dense(author: Author, inner: Item) -> Item:
    def run(trace: Trace, scope: Scope, it: int) -> int:
        (result,) = trace.apply(pieces.Concat(), it, inner.run(trace, scope, it))
        return result

    return Item(f"concat {{ | it | {inner.text}\n}}", run)


def defined(author: Author, names: dict[str, type], body: Item, inputs: str = "") -> tuple[str, dict[str, Any]]:
    """Write a block; its name and its parameters' defaults."""
    name = author.name("block_", "unit", "cell")
    shown, defaults = declared(author, names)
    text = f"{inputs}{body.text}"
    author.blocks.append(f"block {name}{shown} {{\n{text}\n}}")
    return name, defaults


def called(author: Author, name: str, names: dict[str, type], defaults: dict[str, Any], body: Item) -> Item:
    arguments, values = given(author, names, defaults)
    return Item(name + arguments, lambda trace, scope, it: body.run(trace, Scope(dict(values)), it))


def block_call(author: Author, trace: Trace, x: TensorType) -> Item | None:
    """A block, called once or more with parameters of its own each time."""
    if not has_map(x) or x.shape[0] > CHANNELS:
        return None
    names = parameters(author)
    body = steps(author, names, False)
    name, defaults = defined(author, names, body)
    calls = [called(author, name, names, defaults, body) for _ in range(author.dice.between(1, 2))]
    return sequence(author, calls)


def conditional_block(author: Author, x: TensorType) -> Item | None:
    """ResNet's block: a shortcut that projects only where it must."""
    if not has_map(x) or min(x.shape[1:]) < 2:
        return None
    dice = author.dice
    project, unit = author.name("project"), author.name("basic")
    author.blocks.append(
        f"block {project}(width, stride) {{\n"
        "  if channels != width or stride > 1 { conv width k1 s=stride nobias -> bn }\n}"
    )
    author.blocks.append(
        f"block {unit}(width, stride = 1) {{\n"
        f"  skip {{ conv width k3 s=stride p1 -> bn }} via {{ {project}(width, stride) }}\n}}"
    )
    width, stride = dice.choice((x.shape[0], 4)), dice.between(1, 2)

    def run(trace: Trace, scope: Scope, it: int) -> int:
        channels = trace.types[it].shape[0]
        (left,) = trace.apply(conv.Conv(width, (3,), (stride,), (1,)), it)
        (left,) = trace.apply(norm.BatchNorm(), left)
        right = it
        if channels != width or stride > 1:
            (right,) = trace.apply(conv.Conv(width, (1,), (stride,), bias=False), it)
            (right,) = trace.apply(norm.BatchNorm(), right)
        (result,) = trace.apply(elementwise.Add(), left, right)
        return result

    return Item(f"{unit}({width}, {stride})" if stride > 1 or dice.chance(50) else f"{unit}({width})", run)


def input_block(author: Author, trace: Trace, scope: Scope, x: TensorType) -> Item | None:
    """A block that takes a tensor and a list of tensors besides `it`."""
    if not has_map(x) or 2 * x.shape[0] > CHANNELS:
        return None
    dice = author.dice
    found = [reference for reference, other in tensors(trace, scope) if other == x]
    members = [dice.choice([IT, *found]) for _ in range(dice.between(2, 3))]
    author.count("list of tensors as an argument")

    def values(trace: Trace, scope: Scope, it: int) -> list[int]:
        return [it if member is IT else member.value(trace, scope) for member in members]

    # `it` has a name, for the block may leave it out
    start = named(Item("it", lambda trace, scope, it: it, opens=True), author.tensor_name())
    text = f"[{', '.join(member.text for member in members)}]"
    return sequence(author, [start, fused(author, dice.between(1, 5), text, values, dice.choice([IT, *found]))])


def family_block(author: Author, made: str, x: TensorType) -> Item:
    """The same with a whole family; the result has the type of its members."""
    author.count("family as an argument")

    def values(trace: Trace, scope: Scope, it: int) -> list[int]:
        family = scope.tensors[made]
        assert isinstance(family, dict)
        return list(family.values())

    call = fused(author, x.shape[0], made, values, IT)
    return call._replace(opens=True)


def fused(
    author: Author, out: int, given: str, values: Callable[[Trace, Scope, int], list[int]], memory: Reference
) -> Item:
    """A call of a block that weighs the members of a family, with weights of its own for each (as BiFPN does)."""
    name = author.name("fuse")
    author.blocks.append(
        f"block {name}(out) {{\n  input memory\n  input xs\n  assert xs.length == len(xs)\n"
        "  for i, t in enumerate(xs) {\n    param raw[i]: 1 = 1\n    let w[i] = sigmoid(raw[i])\n"
        "    let part[i] = mul(t, w[i])\n  }\n  let total = add(w)\n"
        "  add(part) -> div(total) eps=0.25 -> concat(it, memory)\n"
        "  conv out k1\n}"
    )

    def run(trace: Trace, scope: Scope, it: int) -> int:
        extra = it if memory is IT else memory.value(trace, scope)
        weights, parts = [], []
        for member in values(trace, scope, it):
            weights += trace.apply(activation.Sigmoid(), trace.parameter((1,)))
            parts += trace.apply(elementwise.Mul(), member, weights[-1])
        (total,) = trace.apply(elementwise.Add(), *weights)
        (it,) = trace.apply(elementwise.Add(), *parts)
        (it,) = trace.apply(elementwise.Div(0.25), it, total)
        (it,) = trace.apply(pieces.Concat(), it, extra)
        (it,) = trace.apply(conv.Conv(out, (1,)), it)
        return it

    return Item(f"{name}({out}, xs={given}, memory={memory.text})", run)


def over_blocks(author: Author, x: TensorType) -> Item | None:
    """A block whose parameter is a block, or the word of an operator."""
    if not has_map(x) or x.shape[0] > CHANNELS:
        return None
    dice = author.dice
    inner = steps(author, {}, True)
    inner_name, _ = defined(author, {}, inner)
    unit, count = author.name("unit"), author.name("times")
    outer = sequence(author, [by_name(unit), anywhere(author, {}, True), by_name(unit)])
    text = f"repeat {count} {{ {outer.text}\n}}"
    name = author.name("stack")
    author.blocks.append(f"block {name}({unit}, {count} = 1) {{ {text} }}")
    word = dice.choice(WORDS) if dice.chance(30) else None
    times = dice.between(1, 2)
    author.count("block as a parameter")

    def run(trace: Trace, scope: Scope, it: int) -> int:
        target = word or (lambda trace, it: inner.run(trace, Scope(), it))
        for _ in range(times):
            it = outer.run(trace, Scope({unit: target}), it)
        return it

    return Item(f"{name}({word.word if word else inner_name}{f', {times}' if times > 1 else ''})", run)


# Shared layers.


def shared_layer(author: Author, trace: Trace, scope: Scope, x: TensorType) -> Item | None:
    """`share f = conv 4 k3 p1`, or a block; called on `it` and on a name."""
    if not x.rank:
        return None
    dice = author.dice
    choices: list[tuple[type[Op], dict[str, Any]]] = [
        (norm.BatchNorm, {"eps": 0.125}),
        (linear.Fc, {"out": x.shape[-1]}),
        (activation.PRelu, {}),
    ]
    if has_map(x):
        choices += [(conv.Conv, {"out": x.shape[0], "kernel": (3,), "same": True})]
        if dice.chance(50):
            author.count("shared block")
            body = steps(author, {}, True)
            name, _ = defined(author, {}, body)
            return _twice(author, name, lambda trace, it: body.run(trace, Scope(), it))
    op, values = dice.choice(choices)
    author.count("shared operator")
    text = op.word + spelled(dice, op, values, author.count)
    return _twice(author, text, lambda trace, it: trace.apply(op(**values), it)[0])


def _twice(author: Author, step: str, plain: Callable[[Trace, int], int]) -> Item:
    form, name, other = author.dice.below(3), author.name("head", "twin"), author.tensor_name()
    author.count(("shared: chained", "shared: on a name", "shared: in a let")[form])
    text = (
        f"share {name} = {step}\n"
        + (
            f"{name} -> relu -> {name}",
            f"it as {other}\n{name}({other}) -> tanh -> {name}(it) -> add({name}({other}), it)",
            f"let {other} = {name}(it)\nrelu -> {name} -> add(it, {other})",
        )[form]
    )

    def run(trace: Trace, scope: Scope, it: int) -> int:
        known: list[int] = []  # a share in a loop is another one in every round

        def call(value: int) -> int:
            with trace.shared(known):
                return plain(trace, value)

        def apply(op: Op, *operands: int) -> int:
            return trace.apply(op, *operands)[0]

        if form == 0:
            return call(apply(activation.Relu(), call(it)))
        if form == 1:
            scope.tensors[other] = it
            result = call(apply(activation.Tanh(), call(it)))
            return apply(elementwise.Add(), call(it), result)
        scope.tensors[other] = first = call(it)
        return apply(elementwise.Add(), call(apply(activation.Relu(), it)), first)

    return Item(text, run, opens=True)
