"""Rearrangements: copies between views; most of the work is choosing the views."""

from __future__ import annotations

from dataclasses import dataclass

from netdsl.codegen.numpy.calls import Call
from netdsl.codegen.numpy.lowerings.norm import Axis
from netdsl.codegen.numpy.storage import (
    FIRST,
    LAST,
    View,
    axis_in,
    first,
    in_order,
    is_stored,
    last,
    layout_of,
    stored,
    transposition,
)
from netdsl.ir.graph import Node, Value
from netdsl.ops import maps, pieces
from netdsl.ops import shape as ops
from netdsl.ops.each import Each, Regroup
from netdsl.tensor import Layout


@dataclass(frozen=True)
class Border:
    """Padding of the spatial axes, starts then ends, with what it is filled."""

    padding: tuple[int, ...]
    value: float


@dataclass(frozen=True)
class Mirrored:
    """Padding of the spatial axes, starts then ends, from the input; `mode` as in np.pad."""

    padding: tuple[int, ...]
    mode: str


@dataclass(frozen=True)
class Corners:
    """Whether the first and last elements lie on the borders."""

    corners: bool


def copy(target: View, source: View) -> Call:
    """Elements of one view into another of the same shape."""
    return Call("np.copyto", (source,), (target,))


def same_elements(op: ops.Flatten | ops.Reshape | ops.Relayout, node: Node) -> Call:
    """The same elements in the order of channels first, under other extents."""
    x, out = node.inputs[0], node.outputs[0]
    if x.type.shape == out.type.shape:
        return copy(stored(out), in_order(x, layout_of(out.type)))
    return reshaped(first(x), x.type.shape, out, FIRST)


def regrouped(op: Each | Regroup, node: Node) -> Call:
    """The same elements, a leading axis as rows or back."""
    x, out = node.inputs[0], node.outputs[0]
    return reshaped(first(x), x.type.shape, out, FIRST)


def tokens(op: ops.Tokens, node: Node) -> Call:
    """Channels last, positions in one axis."""
    x, out = node.inputs[0], node.outputs[0]
    return reshaped(last(x), (*x.type.shape[1:], x.type.shape[0]), out, FIRST)


def reshaped(source: View, shape: tuple[int, ...], target: Value, layout: Layout) -> Call:
    """Copy under other extents: the result is seen with the source's extents where that is possible without a copy."""
    if is_stored(target, layout):
        return copy(in_order(target, layout).then(reshape(shape)), source)
    return Call("copy_reshaped", (source,), (in_order(target, layout),))


def reshape(shape: tuple[int, ...]) -> str:
    """A step to N rows of these extents."""
    return f".reshape({', '.join(map(str, (-1, *shape)))})"


def transpose(op: ops.Transpose, node: Node) -> Call:
    """Axes in another order."""
    order = transposition([0, *(1 + axis for axis in op.order)])
    return copy(first(node.outputs[0]), first(node.inputs[0]).then(order))


def pad(op: maps.Pad, node: Node) -> Call:
    """Around the spatial axes, which come between N and the channels."""
    x, out = last(node.inputs[0]), last(node.outputs[0])
    if op.mode == "constant":
        return Call("pad_constant", (x,), (out,), Border(op.padding, op.value))
    return Call(
        "pad_mirrored", (x,), (out,), Mirrored(op.padding, {"reflect": "reflect", "replicate": "edge"}[op.mode])
    )


def crop(op: maps.Crop, node: Node) -> Call:
    """Without the borders of the spatial axes; a second operand gave its extents only."""
    x, out = node.inputs[0], node.outputs[0]
    starts = op.padding[: x.type.rank - 1]
    parts = [f"{start}:{start + n}" for start, n in zip(starts, out.type.shape[1:], strict=True)]
    return copy(last(out), last(x).then(f"[:, {', '.join(parts)}]"))


def concat(op: pieces.Concat, node: Node) -> Call:
    """One after the other, in the order of the result's storage."""
    result = node.outputs[0]
    layout = layout_of(result.type)
    parts = tuple(in_order(value, layout) for value in node.inputs)
    spec = Axis(axis_in(result.type, op.axis, layout))
    if any(value.type.batch != result.type.batch for value in node.inputs):
        return Call("concatenate_rows", (parts,), (stored(result),), spec)
    return Call("np.concatenate", (parts,), (stored(result),), spec)


def split(op: pieces.Split, node: Node) -> tuple[Call, ...]:
    """A copy for each piece."""
    x = node.inputs[0]
    axis = op.axis % x.type.rank
    starts = range(0, x.type.shape[axis], op.size)
    return tuple(
        copy(first(out), first(x).then(along(axis, f"{start}:{start + out.type.shape[axis]}")))
        for start, out in zip(starts, node.outputs, strict=True)
    )


def slice_axis(op: pieces.Slice, node: Node) -> Call:
    """Every `step`-th element between two places."""
    x, out = node.inputs[0], node.outputs[0]
    return copy(first(out), first(x).then(along(op.axis % x.type.rank, f"{op.start}:{op.stop}:{op.step}")))


def take(op: pieces.Take, node: Node) -> Call:
    """One place of an axis."""
    x, out = node.inputs[0], node.outputs[0]
    return copy(first(out), first(x).then(along(op.axis % x.type.rank, str(op.index))))


def along(axis: int, part: str) -> str:
    """An index on one axis of a channels-first view."""
    return f"[{', '.join([':'] * (axis + 1) + [part])}]"


def upsample(op: maps.Upsample, node: Node) -> Call:
    """By indices, or by interpolation along one axis after the other."""
    x, out = last(node.inputs[0]), last(node.outputs[0])
    if op.mode == "nearest":
        return Call("upsample_nearest", (x,), (out,))
    return Call("upsample_linear", (x,), (out,), Corners(op.corners))


def shuffle(op: maps.Shuffle, node: Node) -> Call:
    """Channels as groups x members, read as members x groups."""
    x, out = node.inputs[0], node.outputs[0]
    channels, *spatial = x.type.shape
    parts = reshape((*spatial, op.groups, channels // op.groups))
    rank = len(spatial)
    order = (*range(rank + 1), rank + 2, rank + 1)
    source = last(x).then(parts).then(f".transpose({', '.join(map(str, order))})")
    shape = (*spatial, channels // op.groups, op.groups)
    if is_stored(out, LAST):
        return copy(last(out).then(reshape(shape)), source)
    return Call("copy_reshaped", (source,), (last(out),))


def pixel_shuffle(op: maps.PixelShuffle, node: Node) -> Call:
    """Channels c f f of H x W become rows H f and columns W f."""
    x, out = node.inputs[0], node.outputs[0]
    channels, height, width = out.type.shape
    f = op.factor
    source = last(x).then(reshape((height // f, width // f, channels, f, f))).then(".transpose(0, 1, 4, 2, 5, 3)")
    if is_stored(out, LAST):
        return copy(last(out).then(reshape((height // f, f, width // f, f, channels))), source)
    return Call("copy_reshaped", (source,), (last(out),))
