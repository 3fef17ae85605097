"""Elements at known places, rows of a table, rows of every sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from netdsl.onnx.read.align import regrouped
from netdsl.onnx.read.call import Call, axis_of
from netdsl.onnx.read.choice import gathered
from netdsl.onnx.read.net import Net
from netdsl.onnx.read.pieces import at_axis, taken
from netdsl.onnx.read.values import BATCH, Array, Known, Unreadable, View, plain_view
from netdsl.ops.maps import Upsample
from netdsl.ops.pieces import Take
from netdsl.ops.sequence import Embed
from netdsl.tensor import DType


def gather(call: Call) -> View:
    """Elements at known places of an axis; rows of a table by whole numbers that are an input."""
    table, rows = call.operand(0), call.operand(1)
    if isinstance(table, Known) and isinstance(rows, View) and rows.value.type.dtype is DType.INT64:
        return _embedded(call, table, rows)
    view, at = call.view(0), call.known(1)
    axis = axis_of(call.whole("axis", 0), view.rank)
    if BATCH in view.axes[axis]:
        return _all_samples(call.net, view, axis, at)
    places = at.fixed("the places that it takes").astype(np.int64)
    length = view.per_sample(axis)
    if _is_nearest(view, axis, places):
        spatial = [view.per_sample(place) for place in range(2, view.rank)]
        spatial[axis - 2] = len(places)
        op = Upsample("nearest", to=tuple(spatial))
        return call.net.back(call.net.one(op, call.net.batch_first(view)), view)
    if places.size and (places.min() < -length or places.max() >= length):
        raise Unreadable(f"it takes an element that {length} do not have")
    if places.ndim == 0:
        index = int(places) % length
        if view.atoms == view.value.type.shape and at_axis(view, axis)[1]:
            atom = view.axes[axis][0]
            value = call.net.one(Take(index, atom), view.value)
            axes = [tuple(a - (a > atom) for a in group) for i, group in enumerate(view.axes) if i != axis]
            return View(value, value.type.shape, tuple(axes), view.whole)
    chosen = taken(call.net, view, axis, [int(place) % length for place in places.reshape(-1)])
    shape = chosen.shape(call.net.batches[0])
    targets = [(*s[:axis], *places.shape, *s[axis + 1 :]) for s in map(chosen.shape, call.net.batches)]
    return chosen if places.ndim == 1 and len(shape) == view.rank else regrouped(call.net, chosen, targets)


def _embedded(call: Call, table: Known, rows: View) -> View:
    if table.array.ndim != 2 or axis_of(call.whole("axis", 0), 2):
        raise Unreadable("whole numbers of an input choose rows of a matrix, nothing else")
    value, place = call.net.plain(rows)
    return plain_view(call.net.one(Embed(*table.array.shape), value, weights=(table,)), place)


def _is_nearest(view: View, axis: int, places: Array) -> bool:
    """Whether it takes the nearest elements of one axis of a map, more than there are."""
    if view.rank not in (3, 4) or view.axes[0] != (BATCH,) or axis < 2 or places.ndim != 1:
        return False
    length, to = view.per_sample(axis), len(places)
    return to > length and bool((places == np.arange(to) * length // to).all())


def _all_samples(net: Net, view: View, axis: int, at: Known) -> View:
    """Elements of an axis that holds the batch: all of them, in their order, is all that can be asked for."""
    arrays = [at.array, at.array if at.other is None else at.other][: len(net.batches)]
    shapes = [view.shape(batch) for batch in net.batches]
    if any(
        array.size != s[axis] or (array.ravel() != np.arange(array.size)).any()
        for array, s in zip(arrays, shapes, strict=True)
    ):
        raise Unreadable("it takes samples out of the batch")
    targets = [(*s[:axis], *array.shape, *s[axis + 1 :]) for array, s in zip(arrays, shapes, strict=True)]
    return regrouped(net, view, targets)


def gather_nd(call: Call) -> View:
    """Elements at known places of the first axes, taken as one."""
    if isinstance(call.operand(1), View):
        return gathered(call)
    view, places = call.view(0), call.fixed(1).astype(np.int64)
    if call.whole("batch_dims", 0):
        raise Unreadable("it takes other places in every sample")
    depth = places.shape[-1]
    if any(BATCH in axis for axis in view.axes[:depth]):
        raise Unreadable("it takes samples out of the batch")
    extents = [view.per_sample(axis) for axis in range(depth)]
    flat = np.ravel_multi_index(tuple(np.moveaxis(places % extents, -1, 0)), tuple(extents))
    merged = replace(view, axes=(tuple(a for axis in view.axes[:depth] for a in axis), *view.axes[depth:]))
    chosen = taken(call.net, merged, 0, flat.ravel().tolist())
    targets = [(*flat.shape, *chosen.shape(batch)[1:]) for batch in call.net.batches]
    return regrouped(call.net, chosen, targets)


READERS: dict[str, Callable[[Call], View]] = {"Gather": gather, "GatherND": gather_nd}
