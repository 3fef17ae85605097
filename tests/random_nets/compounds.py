"""Layers of a random net with several results, or that need others before them: pools, choices, regions, attention."""

from __future__ import annotations

from typing import Any

from attribute_values import attention_, fits, has_map, modconv_, recurrent_, split_
from expansion import Trace
from items import IT, Author, Item, Scope, named, sequence, tensors
from operators import layer, let, own, param, shifted
from spelling import spelled

from netdsl.ops import activation, attention, elementwise, linear, maps, pieces, pool, recurrent, reduce, shape, style
from netdsl.ops.base import Op
from netdsl.ops.choice import Gather, Nms, TopK
from netdsl.ops.regions import RoiAlign, RoiPool
from netdsl.ops.sequence import Embed
from netdsl.tensor import DType, TensorType

INDICES = 32
"""Whole numbers of inputs are below this."""


def several(author: Author, x: TensorType) -> Item | None:
    """`split n as a, b`, its pieces joined again at times."""
    values = split_(author.dice, x)
    if values is None:
        return None
    op = pieces.Split(**values)
    parts = len(op.resolve((x,)).infer((x,)))
    names = [author.tensor_name() for _ in range(parts)]
    author.count("several results")

    def run(trace: Trace, scope: Scope, it: int) -> int:
        results = trace.apply(op, it)
        scope.tensors.update(zip(names, results, strict=True))
        return results[0]

    text = f"split{spelled(author.dice, pieces.Split, values, author.count)} as {', '.join(names)}"
    step = Item(text, run, is_named=True)
    if author.dice.chance(50):
        return step
    axis = {"axis": values["axis"]} if "axis" in values else {}
    order = author.dice.order([own(name) for name in names])
    return sequence(author, [step, layer(author, pieces.Concat, axis, order)])


def places(author: Author, x: TensorType, keep: bool) -> Item | None:
    """Pooling with places and what undoes it. A weight is added first: no two elements of a window are equal then."""
    if not has_map(x):
        return None
    dice = author.dice
    noise, values, at = author.tensor_name(), author.tensor_name(), author.tensor_name()
    kernel = [dice.between(1, min(3, length)) for length in x.shape[1:]]
    stride = [dice.between(1, k) for k in kernel]
    padding = [dice.between(0, k // 2) for k in kernel]
    fields: dict[str, Any] = {"kernel": tuple(kernel)}
    if stride != kernel:
        fields["stride"] = tuple(stride)
    if any(padding):
        fields["padding"] = tuple(padding)
    op = pool.Pool("max", indices=True, **fields)
    reached = op.resolve((x,)).infer((x,))[0].shape[1:]
    usual = tuple((n - 1) * s - 2 * p + k for n, s, p, k in zip(reached, stride, padding, kernel, strict=True))
    whole = {"to": x.shape[1:]} if usual != x.shape[1:] or dice.chance(20) else {}

    def run(trace: Trace, scope: Scope, it: int) -> int:
        results = trace.apply(op, it)
        scope.tensors.update(zip((values, at), results, strict=True))
        return results[0]

    text = f"pool{spelled(dice, pool.Pool, {'function': 'max', 'indices': True, **fields}, author.count)}"
    between = layer(author, dice.choice((activation.Relu, activation.Silu, activation.Abs)), {})
    author.count("several results")
    items = [
        param(author, noise, x.shape),
        layer(author, elementwise.Add, {}, (IT, own(noise))),
        Item(f"{text} as {values}, {at}", run, is_named=True),
        *([between] if dice.chance(50) else []),
    ]
    if keep or dice.chance(70):
        back = layer(author, pool.Unpool, fields | whole, (IT, own(at)))
        form = dice.below(3)
        if form == 1:
            back = back._replace(text=back.text.replace("(it, ", "("))
        elif form == 2:
            author.count("branches: unpool")
            written = spelled(dice, pool.Unpool, fields | whole, author.count)
            back = back._replace(text=f"unpool{written} {{ | it | {at} }}")
        items.append(back)
    return sequence(author, items)


def best_rows(author: Author, x: TensorType) -> Item | None:
    """The rows of a tensor whose largest elements are largest. A weight is added first: no two rows are equal then."""
    dice = author.dice
    if x.rank < 2 or not x.batch:
        return None
    noise, rows, score, at = (author.tensor_name() for _ in range(4))
    values: dict[str, Any] = {"count": dice.between(1, x.shape[0])}
    if dice.chance(30):
        values["axis"] = 0

    def run(trace: Trace, scope: Scope, it: int) -> int:
        results = trace.apply(TopK(**values), it)
        scope.tensors.update(zip((score, at), results, strict=True))
        return results[0]

    pick = layer(author, Gather, {}, (own(rows), own(at)))
    if dice.chance(50):
        author.count("branches: gather")
        pick = pick._replace(text=f"gather {{ | {rows} | {at} }}")
    author.count("several results")
    items = [
        param(author, noise, x.shape),
        named(layer(author, elementwise.Add, {}, (IT, own(noise))), rows),
        layer(author, reduce.Largest, {"axis": tuple(range(1, x.rank))}),
        Item(f"topk{spelled(dice, TopK, values, author.count)} as {score}, {at}", run, is_named=True),
        pick,
    ]
    return sequence(author, items)


def boxes_that_stay(author: Author, x: TensorType) -> Item | None:
    """Rows as boxes, their largest elements as scores: those that no better one overlaps."""
    dice = author.dice
    if x.rank not in (2, 3) or not x.batch:
        return None
    boxes, scores, kept = (author.tensor_name() for _ in range(3))
    values: dict[str, Any] = {"count": dice.between(1, 5)}
    if dice.chance(60):
        values["iou"] = dice.between(1, 6) / 8
    if dice.chance(60):
        values["least"] = dice.between(-4, 2) / 4
    step = layer(author, Nms, values, (own(boxes), own(scores)))
    if dice.chance(50):
        author.count("branches: nms")
        settings = "".join(f" {name}={value}" for name, value in values.items())
        step = step._replace(text=f"nms{settings} {{ | {boxes} | {scores} }}")
    items = [
        *([layer(author, shape.Tokens, {})] if x.rank == 3 else []),
        named(layer(author, linear.Fc, {"out": 4}), boxes),
        named(layer(author, reduce.Largest, {"axis": (-1,)}), scores),
        named(step, kept),
        layer(author, Gather, {}, (own(boxes), own(kept))),
    ]
    return sequence(author, items)


def regions(author: Author, x: TensorType) -> Item | None:
    """Regions of a map, whose boxes are weights."""
    dice = author.dice
    if x.rank != 3 or not x.batch:
        return None
    op = dice.choice((RoiPool, RoiPool, RoiAlign))
    kernel = tuple(dice.between(1, 3) for _ in range(dice.between(1, 2)))
    values: dict[str, Any] = {"kernel": kernel}
    if dice.chance(80):
        values["scale"] = dice.between(3, 12) / 2
    if op is RoiAlign and dice.chance(60):
        values["points"] = dice.between(1, 3)
    if op is RoiAlign and dice.chance(50):
        values["aligned"] = True
    boxes = author.tensor_name()
    step = layer(author, op, values, (IT, own(boxes)))
    form = dice.below(4)
    if form == 1:
        step = step._replace(text=step.text.replace("(it, ", "("))
    elif form > 1:
        author.count(f"branches: {op.word}")
        step = step._replace(text=f"{op.word}{spelled(dice, op, values, author.count)} {{ | it | {boxes} }}")
    return sequence(author, [param(author, boxes, (dice.between(1, 3), 4)), step])


def modulated(author: Author, x: TensorType) -> Item | None:
    """A convolution in a style that the operand's means decide, kept away from 0."""
    values = modconv_(author.dice, x)
    if values is None or not fits(style.ModConv(**values).layer.resolve((x,)).infer((x,))[0].shape):
        return None
    dice = author.dice
    kept, means = author.tensor_name(), author.tensor_name()
    step = layer(author, style.ModConv, dict(values), (IT, own(means)))
    form = dice.below(3)
    if form == 1:
        step = step._replace(text=step.text.replace("(it, ", "("))
    elif form == 2:
        author.count("branches: modconv")
        out = values.pop("out")
        written = f"modconv out={out}{spelled(dice, style.ModConv, values, author.count)}"
        step = step._replace(text=f"{written} {{ | it | {means} }}")
    mean = layer(author, reduce.Mean, {"axis": tuple(range(1, x.rank))})
    near = sequence(author, [mean, layer(author, activation.Sigmoid, {}), shifted(author)], one_line=True)
    again = Item(kept, lambda trace, scope, it: scope.tensors[kept], opens=True)
    return sequence(author, [_kept(kept), named(near, means), again, step])


def carried(author: Author, x: TensorType) -> Item | None:
    """A recurrent layer that gives its state, and one that goes on with it."""
    dice = author.dice
    op = dice.choice((recurrent.Lstm, recurrent.Gru))
    values = recurrent_(dice, x)
    if values is None:
        return None
    names = [author.tensor_name() for _ in range(1 + op.states)]
    author.count("several results")

    def run(trace: Trace, scope: Scope, it: int) -> int:
        results = trace.apply(op(**values, state=True), it)
        scope.tensors.update(zip(names, results, strict=True))
        return results[0]

    text = f"{op.word}{spelled(dice, op, values | {'state': True}, author.count)} as {', '.join(names)}"
    more = {"out": values["out"], "initial": True} | ({"reverse": True} if dice.chance(50) else {})
    goes_on = layer(author, op, more, (IT, *map(own, names[1:])))
    return sequence(author, [Item(text, run, is_named=True), goes_on])


def _kept(name: str) -> Item:
    """`it`, under a name."""
    return named(Item("it", lambda trace, scope, it: it, opens=True), name)


def cut_like(author: Author, trace: Trace, scope: Scope, x: TensorType) -> Item | None:
    """`crop(a)` to the extents of `it`."""
    found = [
        reference
        for reference, other in tensors(trace, scope)
        if has_map(x)
        and other.rank == x.rank
        and all(a >= b for a, b in zip(other.shape[1:], x.shape[1:], strict=True))
    ]
    if not found:
        return None
    other, kept = author.dice.choice(found), author.tensor_name()
    author.count("crop like another")
    step = layer(author, maps.Crop, {}, (other, IT))
    if author.dice.chance(50):
        step = step._replace(text=f"crop({other.text})")
    return sequence(author, [_kept(kept), step])


def discrete(trace: Trace, scope: Scope, dtype: DType) -> list[str]:
    """Names of inputs of whole numbers, or of truth values."""
    return [
        name for name, value in scope.tensors.items() if value in trace.inputs and trace.types[value].dtype is dtype
    ]


def attended(author: Author, trace: Trace, scope: Scope, x: TensorType) -> Item | None:
    """Attention to another sequence, made of the same one, and with a mask where an input has one that fits."""
    dice = author.dice
    values = attention_(dice, x)
    if values is None or not x.batch:
        return None
    queries = keys = attention.length(x)
    items, given, shown = [], [], []
    if dice.chance(60):
        author.count("memory of attention")
        memory, keys = author.tensor_name(), dice.between(1, queries)
        width = attention.features(x) if dice.chance(50) else dice.between(1, 6)
        parts = [
            *([layer(author, shape.Tokens, {})] if x.rank == 3 else []),
            layer(author, pieces.Slice, {"start": queries - keys, "stop": queries}),
            layer(author, linear.Fc, {"out": width}),
        ]
        items.append(let(author, memory, sequence(author, parts, one_line=True)))
        given.append(own(memory))
        shown.append(memory)
    hidden = [
        name
        for name in discrete(trace, scope, DType.BOOL)
        if trace.types[scope.tensors[name]].shape in ((keys,), (queries, keys))  # type: ignore[index]
    ]
    if hidden:
        author.count("mask of attention")
        given.append(own(hidden[0]))
        shown.append(f"mask={hidden[0]}")
    if not given:
        return None
    step = layer(author, attention.Attention, values, (IT, *given))
    _, _, settings = step.text.partition(")")
    return sequence(author, [*items, step._replace(text=f"attention({', '.join(shown)}){settings}")])


def tied(author: Author, trace: Trace, scope: Scope, x: TensorType) -> Item | None:
    """A product by the matrix of a shared layer, or by the table of one that took rows for whole numbers."""
    dice = author.dice
    words = discrete(trace, scope, DType.INT64)
    if not x.rank or not x.batch:
        return None
    name, other = author.name("table"), author.tensor_name()
    op: Op = linear.Fc(dice.between(1, 6), dice.chance(50))
    if words and dice.chance(70):
        author.count("tied to a table")
        op = Embed(dice.between(INDICES, INDICES + 4), x.shape[-1])
    out = op.vocab if isinstance(op, Embed) else op.out  # type: ignore[attr-defined]
    if not fits((*x.shape[:-1], out)):
        return None
    start = own(words[0]) if isinstance(op, Embed) else IT
    settings = {item.name: getattr(op, item.name) for item in op.schema()}
    written = {key: value for key, value in settings.items() if key != "bias" or value is False}
    product = f"fc{spelled(dice, linear.Fc, {'out': out}, author.count)} tied={name}"
    text = f"share {name} = {op.word}{spelled(dice, type(op), written, author.count)}"

    def run(trace: Trace, scope: Scope, it: int) -> int:
        known: list[int] = []
        with trace.shared(known):
            (scope.tensors[other],) = trace.apply(op, it if start is IT else start.value(trace, scope))
        with trace.shared(known[:1]):
            (result,) = trace.apply(linear.Fc(out, False), it)
        return result

    return Item(f"{text}\nlet {other} = {name}({start.text})\n{product}", run, opens=True)
