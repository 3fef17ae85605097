"""Operators that move elements: each says where the element at given coordinates of the result comes from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

from netdsl.analysis.joined import left_to_copy
from netdsl.codegen.render import literal
from netdsl.codegen.triton.index import (
    atom,
    decompose,
    linear,
    quotient,
    reinterprets,
    remainder,
    same_storage,
    shifted,
    storage_axes,
    strides,
)
from netdsl.codegen.triton.lowerings.pointwise import at, copy, copy_part, elementwise, pointwise
from netdsl.codegen.triton.lowerings.pooled import border
from netdsl.codegen.triton.place import Body, Coordinate
from netdsl.codegen.triton.planner import Bordered, Planner
from netdsl.codegen.triton.site import Site
from netdsl.codegen.triton.site import site as site_of
from netdsl.ir.graph import Value
from netdsl.ops.conv import Conv
from netdsl.ops.maps import Crop, Pad, PixelShuffle, Shuffle, Upsample
from netdsl.ops.pieces import Concat, Slice, Split, Take
from netdsl.ops.shape import Tokens, Transpose
from netdsl.ops.style import Blur

Texts = list[str]


def _texts(axes: Sequence[Coordinate]) -> Texts:
    return [axis.text for axis in axes]


def _move(planner: Planner, site: Site, source: Sequence[str], result: Value | None = None, stem: str = "") -> None:
    """Element i of the result is the operand's at the coordinates `source`."""
    operand = site.operands[0]

    def compute(body: Body, axes: Sequence[Coordinate]) -> str:
        return body.load(operand, "value", at(body, operand, source))

    pointwise(planner, site, compute, result, stem)


def _result_axes(value: Value) -> Texts:
    """Coordinates of element i of a result."""
    from_storage = storage_axes(value.type)
    parts = decompose("i", [value.type.shape[axis] for axis in from_storage], lead=True)[1:]
    by_axis = dict(zip(from_storage, parts, strict=True))
    return [by_axis[axis] for axis in range(value.type.rank)]


def reshape(planner: Planner, site: Site) -> None:
    """Flatten and reshape: nothing moves if both lie in the written order."""
    operand, result = site.operands[0], site.result
    if reinterprets(operand.type, result.type) and not site.tail:
        planner.aliases[result] = operand
        return
    shape = result.type.shape
    written = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    flat = linear(zip(_result_axes(result), written, strict=True))
    _move(planner, site, decompose(flat, operand.type.shape, lead=False))


def regrouped(planner: Planner, site: Site) -> None:
    """A leading axis as rows of the batch, or back: both are stored in the written order, so nothing moves."""
    operand, result = site.operands[0], site.result
    assert reinterprets(operand.type, result.type)
    assert not site.tail
    planner.aliases[result] = operand


def transpose(planner: Planner, site: Site) -> None:
    """Axis j of the result is axis order[j] of the operand; nothing moves if it lies that way already."""
    op, operand, result = site.op, site.operands[0], site.result
    assert isinstance(op, Transpose)
    moved = tuple(strides(operand.type)[axis] for axis in op.order)
    as_it_lies = all(n == 1 or a == b for n, a, b in zip(result.type.shape, moved, strides(result.type), strict=True))
    if as_it_lies and not site.tail:
        planner.aliases[result] = operand
        return
    axes = _result_axes(result)
    _move(planner, site, [axes[op.order.index(axis)] for axis in range(operand.type.rank)])


def tokens(planner: Planner, site: Site) -> None:
    """Row t of the result is the channels at position t; nothing moves in a channels-last map."""
    assert isinstance(site.op, Tokens)
    operand, result = site.operands[0], site.result
    shape = operand.type.shape
    if not site.tail and strides(operand.type)[0] == 1 and strides(result.type)[-1] == 1:
        planner.aliases[result] = operand
        return
    position, channel = _result_axes(result)
    _move(planner, site, [channel, *decompose(position, shape[1:], lead=False)])


def relayout(planner: Planner, site: Site) -> None:
    """A copy, unless both orders are the same."""
    operand, result = site.operands[0], site.result
    if not site.tail and same_storage(operand.type, result.type) and operand not in planner.graph.inputs:
        planner.aliases[result] = operand
    elif site.tail:
        elementwise(planner, site)
    elif _is_picture(planner, result):
        _pad_channels(planner, site)
    else:
        copy(planner, site, operand, result)


def _is_picture(planner: Planner, value: Value) -> bool:
    """Whether three channels would be read by dense convolutions alone: they load four at a time, but not three."""
    readers = planner.readers.get(value, ())
    return (
        value.type.shape[0] == 3
        and strides(value.type)[0] == 1
        and value not in planner.graph.outputs
        and all(
            isinstance(site.op, Conv) and site.op.groups == 1 and site.operands[0] is value and site.reads(value) == 1
            for site in map(site_of, readers)
        )
    )


def _pad_channels(planner: Planner, site: Site) -> None:
    """A copy with a fourth channel of zeros, and the padding of a stem."""
    operand, result = site.operands[0], site.result
    top, left, bottom, right = border(planner, result)
    spatial = result.type.shape[1:]
    starts = (top, left)[: len(spatial)]
    extents = (n + before + after for n, before, after in zip(spatial, starts, (bottom, right), strict=False))
    padded = Value(result.name, result.type._replace(shape=(4, *extents)))
    planner.padded[result] = Bordered(padded, top, left)

    def compute(body: Body, axes: Sequence[Coordinate]) -> str:
        texts = _texts(axes)
        inside = [f"({texts[0]} < 3)"]
        for axis, (start, end) in enumerate(zip(starts, (bottom, right), strict=False), 1):
            if start or end:
                extent = result.type.shape[axis]
                texts[axis], conditions = _moved_back(body, "chv"[axis], texts[axis], start, end, extent)
                inside += conditions
        return body.load(operand, "value", at(body, operand, texts, " & ".join(inside)), "0.0")

    pointwise(planner, site, compute, padded, "copy_padded")


def _moved_back(body: Body, stem: str, coordinate: str, start: int, end: int, extent: int) -> tuple[str, Texts]:
    """A variable for a coordinate without the padding before it, and the conditions under which it lies inside."""
    name = body.name(stem)
    body.lines.append(f"{name} = {shifted(coordinate, -start)}")
    return name, [*([f"({name} >= 0)"] if start else []), *([f"({name} < {extent})"] if end else [])]


def identity(planner: Planner, site: Site) -> None:
    """Dropout: the same tensor."""
    relayout(planner, site)


def pad(planner: Planner, site: Site) -> None:
    """Each spatial coordinate moved back, and mended where it lies outside."""
    op = site.op
    assert isinstance(op, Pad)
    operand = site.operands[0]
    rank = len(op.padding) // 2
    extents = operand.type.shape[-rank:]

    def compute(body: Body, axes: Sequence[Coordinate]) -> str:
        texts = _texts(axes)
        inside = []
        for place, extent in enumerate(extents):
            axis = len(texts) - rank + place
            start, end = op.padding[place], op.padding[rank + place]
            if not start and not end:
                continue
            name, conditions = _moved_back(body, "hv"[place], texts[axis], start, end, extent)
            if op.mode == "constant":
                inside += conditions
            elif op.mode == "replicate":
                body.lines.append(f"{name} = tl.minimum(tl.maximum({name}, 0), {extent - 1})")
            else:
                # |h| mirrors at the start; (L - 1) - |(L - 1) - h| at the end.
                body.lines.append(f"{name} = {extent - 1} - tl.abs({extent - 1} - tl.abs({name}))")
            texts[axis] = name
        if not inside:
            return body.load(operand, "value", at(body, operand, texts))
        body.lines.append(f"filled = {' & '.join(inside)}")
        return body.load(operand, "value", at(body, operand, texts, "filled"), literal(float(op.value)))

    pointwise(planner, site, compute)


def crop(planner: Planner, site: Site) -> None:
    """Each spatial coordinate moved on."""
    op = site.op
    assert isinstance(op, Crop)
    axes = _result_axes(site.result)
    rank = len(op.padding) // 2
    for place in range(rank):
        axes[len(axes) - rank + place] = shifted(axes[len(axes) - rank + place], op.padding[place])
    _move(planner, site, axes)


def concat(planner: Planner, site: Site) -> None:
    """The operand in whose part of the axis the element lies; the others are not read there.

    Where operands are stored inside the result, only the others are copied.
    """
    op = site.op
    assert isinstance(op, Concat)
    left = left_to_copy(site.node, planner.parts)
    if site.result in planner.parts or len(left) < len(site.operands):
        for value, start in left:
            copy_part(planner, site, value, site.result, start)
        return

    def compute(body: Body, axes: Sequence[Coordinate]) -> str:
        along = axes[op.axis].text
        joined = ""
        start = 0
        for operand in site.operands:
            end = start + operand.type.shape[op.axis]
            texts = _texts(axes)
            if joined:
                name = body.name("along")
                body.lines.append(f"{name} = {shifted(along, -start)}")
                texts[op.axis] = name
                last = end == site.result.type.shape[op.axis]
                part = f"({name} >= 0)" if last else f"({name} >= 0) & ({name} < {end - start})"
                value = body.load(operand, "part", at(body, operand, texts, part))
                body.lines.append(f"{joined} = tl.where({name} >= 0, {value}, {joined})")
            else:
                joined = body.load(operand, "value", at(body, operand, texts, f"({along} < {end})"))
            start = end
        return joined

    pointwise(planner, site, compute)


def split(planner: Planner, site: Site) -> None:
    """One launch for each piece that is read."""
    op = site.op
    assert isinstance(op, Split)
    for number, result in enumerate(site.results):
        axes = _result_axes(result)
        axes[op.axis] = shifted(axes[op.axis], number * op.size)
        _move(planner, site, axes, result)


def slice_axis(planner: Planner, site: Site) -> None:
    """start + step * k."""
    op = site.op
    assert isinstance(op, Slice)
    axes = _result_axes(site.result)
    axes[op.axis] = linear([(axes[op.axis], op.step)], op.start)
    _move(planner, site, axes)


def take(planner: Planner, site: Site) -> None:
    """A fixed coordinate on the axis that goes."""
    op = site.op
    assert isinstance(op, Take)
    axes = _result_axes(site.result)
    _move(planner, site, [*axes[: op.axis], str(op.index), *axes[op.axis :]])


def shuffle(planner: Planner, site: Site) -> None:
    """Channel c of the result is channel (c % groups) * (C / groups) + c // groups."""
    op = site.op
    assert isinstance(op, Shuffle)
    channel, *spatial = _result_axes(site.result)
    width = site.result.type.shape[0] // op.groups
    channel = linear([(remainder(channel, op.groups), width), (quotient(channel, op.groups), 1)])
    _move(planner, site, [channel, *spatial])


def pixel_shuffle(planner: Planner, site: Site) -> None:
    """Pixel (h, w) of channel c comes from channel (c f + h % f) f + w % f at (h // f, w // f)."""
    op = site.op
    assert isinstance(op, PixelShuffle)
    channel, h, w = _result_axes(site.result)
    f = op.factor
    channel = linear([(channel, f * f), (remainder(h, f), f), (remainder(w, f), 1)])
    _move(planner, site, [channel, quotient(h, f), quotient(w, f)])


def upsample(planner: Planner, site: Site) -> None:
    """`nearest` repeats elements; `bilinear` goes between the two neighbours on each axis."""
    op = site.op
    assert isinstance(op, Upsample)
    if op.mode == "bilinear":
        _bilinear(planner, site, op)
        return
    channel, *spatial = _result_axes(site.result)
    extents = site.operands[0].type.shape[1:]
    source = []
    for text, extent, length in zip(spatial, extents, op.to, strict=True):
        whole = length % extent == 0
        source.append(quotient(text, length // extent) if whole else quotient(f"{atom(text)} * {extent}", length))
    _move(planner, site, [channel, *source])


def _bilinear(planner: Planner, site: Site, op: Upsample) -> None:
    operand = site.operands[0]
    extents = operand.type.shape[1:]

    def compute(body: Body, axes: Sequence[Coordinate]) -> str:
        channel, *spatial = _texts(axes)
        ends: list[tuple[str, str, str]] = []
        for name, text, extent, length in zip("hv", spatial, extents, op.to, strict=False):
            source = f"{atom(text)}.to(tl.float32)" if text != "0" else "0.0"
            if op.corners:
                place = f"{source} * {(extent - 1) / max(length - 1, 1)!r}"
            else:
                place = f"tl.maximum(({source} + 0.5) * {extent / length!r} - 0.5, 0.0)"
            body.lines.append(f"{name}_at = {place}")
            body.lines.append(f"{name}_low = tl.minimum(tl.floor({name}_at).to(tl.int32), {extent - 1})")
            body.lines.append(f"{name}_high = tl.minimum({name}_low + 1, {extent - 1})")
            body.lines.append(f"{name}_share = {name}_at - {name}_low")
            ends.append((f"{name}_low", f"{name}_high", f"{name}_share"))
        return _between(body, operand, [channel], ends)

    pointwise(planner, site, compute)


def _between(body: Body, operand: Value, fixed: Texts, ends: list[tuple[str, str, str]]) -> str:
    """The value between the neighbours on all axes in `ends`, the others being `fixed`."""
    if not ends:
        return body.load(operand, "corner", at(body, operand, fixed))
    (low, high, share), *rest = ends
    before = _between(body, operand, [*fixed, low], rest)
    after = _between(body, operand, [*fixed, high], rest)
    name = body.name("between")
    body.lines.append(f"{name} = {before} + ({after} - {before}) * {share}")
    return name


def blur(planner: Planner, site: Site) -> None:
    """The sum over all taps that meet an element: with `up`, tap k of output q meets element (s q + k - pad) / up."""
    op = site.op
    assert isinstance(op, Blur)
    operand = site.operands[0]
    extents = operand.type.shape[1:]

    def compute(body: Body, axes: Sequence[Coordinate]) -> str:
        channel, *spatial = _texts(axes)
        total = body.name("total")
        body.lines.append(f"{total} = 0.0")
        starts = [linear([(text, op.down)], -before) for text, before in zip(spatial, op.padding, strict=False)]
        for name, start in zip("hv", starts, strict=False):
            body.lines.append(f"{name} = {start}")
        for taps in product(range(len(op.taps)), repeat=len(extents)):
            places, inside = [], []
            for name, k, extent in zip("hv", taps, extents, strict=False):
                place = shifted(name, k)
                inside.append(f"({place} >= 0) & ({place} < {op.up * extent})")
                if op.up > 1:
                    inside.append(f"({remainder(place, op.up)} == 0)")
                places.append(quotient(place, op.up))
            value = body.load(operand, "value", at(body, operand, [channel, *places], " & ".join(inside)), "0.0")
            factor = prod(op.coefficients[k] for k in taps)
            body.lines.append(f"{total} += {value} * {factor!r}")
        return total

    pointwise(planner, site, compute)
