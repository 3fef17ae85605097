"""Rearrangements: most of them only regroup what a view says; the others are slices and joins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np

from netdsl.onnx.read.align import arranged, regrouped, spread
from netdsl.onnx.read.call import Call, axis_of
from netdsl.onnx.read.net import Net
from netdsl.onnx.read.values import BATCH, Known, Unreadable, View, for_batches, plain_view
from netdsl.ops.noise import Dropout

Result = View | Known | tuple[View | Known, ...]


def shape_of(call: Call) -> Known:
    """The extents, known but for the batch."""
    view = call.view(0)
    start, stop = call.whole("start", 0), call.attributes.get("end")
    arrays = [np.array(view.shape(batch)[start:stop], np.int64) for batch in call.net.batches]
    return for_batches(arrays)


def size_of(call: Call) -> Known:
    """The number of elements."""
    view = call.view(0)
    return for_batches([np.array(prod(view.shape(batch)), np.int64) for batch in call.net.batches])


def _each_batch(known: Known, net: Net) -> list[list[int]]:
    """Known whole numbers for each batch."""
    return [
        (known.array if known.other is None or index == 0 else known.other).reshape(-1).tolist()
        for index in range(len(net.batches))
    ]


def reshape(call: Call) -> View:
    """0 keeps an extent, -1 is what is left."""
    view = call.view(0)
    wanted = call.known(1) if call.has(1) else Known(np.array(call.ints("shape")))
    targets = []
    for batch, given in zip(call.net.batches, _each_batch(wanted, call.net), strict=True):
        shape = view.shape(batch)
        extents = [
            shape[index] if extent == 0 and index < len(shape) and not call.whole("allowzero", 0) else extent
            for index, extent in enumerate(given)
        ]
        rest = prod(extent for extent in extents if extent != -1)
        if -1 in extents and (rest == 0 or prod(shape) % rest):
            raise Unreadable(f"{shape} cannot be reshaped to {tuple(given)}")
        targets.append(tuple(prod(shape) // rest if extent == -1 else extent for extent in extents))
    return regrouped(call.net, view, targets)


def flatten(call: Call) -> View:
    """Two axes: what comes before one, and what comes from it on."""
    view = call.view(0)
    axis = call.whole("axis", 1)
    view = call.net.each(view) if axis == 1 and view.rank == 4 else view  # the maps of many rows, one vector each
    axis = axis + view.rank if axis < 0 else axis
    parts = (view.axes[:axis], view.axes[axis:])
    flat = replace(view, axes=tuple(tuple(atom for group in part for atom in group) for part in parts))
    return arranged(call.net, flat) if flat.axes[0] == (BATCH,) else flat


def squeeze(call: Call) -> View:
    """Without axes of extent 1."""
    view = call.view(0)
    axes = call.axes(1, view.rank)
    shape = view.shape(call.net.batches[0])
    if axes is None:
        axes = tuple(index for index, extent in enumerate(shape) if extent == 1)
    if any(shape[axis] != 1 for axis in axes):
        raise Unreadable(f"it drops an axis of {shape} that has more than one element")
    return replace(view, axes=tuple(axis for index, axis in enumerate(view.axes) if index not in axes))


def unsqueeze(call: Call) -> View:
    """With more axes of extent 1."""
    view = call.view(0)
    given = call.fixed(1).reshape(-1).tolist() if call.has(1) else call.ints("axes")
    rank = view.rank + len(given)
    places = {axis_of(int(axis), rank) for axis in given}
    waiting = iter(view.axes)
    return replace(view, axes=tuple(() if index in places else next(waiting) for index in range(rank)))


def transpose(call: Call) -> View:
    """Axes in another order."""
    view = call.view(0)
    order = call.ints("perm") or tuple(reversed(range(view.rank)))
    if sorted(order) != list(range(view.rank)):
        raise Unreadable(f"its order {order} does not name each of {view.rank} axes once")
    return view.transposed(order)


def expand(call: Call) -> View | Known:
    """Repeated along axes of extent 1."""
    wanted = _each_batch(call.known(1), call.net)
    view = _over_samples(call, wanted) or call.view(0)
    rank = max(view.rank, len(wanted[0]))
    padded = replace(view, axes=((),) * (rank - view.rank) + view.axes)
    shape = [1] * (rank - len(wanted[0])) + wanted[0]
    other = [1] * (rank - len(wanted[-1])) + wanted[-1]
    axes = list(padded.axes)
    for place, (one, two) in enumerate(zip(shape, other, strict=True)):
        if one != two and [padded.shape(batch)[place] for batch in call.net.batches] != [one, two]:
            if (one, two) != (call.net.batches[0], call.net.batches[-1]) or padded.per_sample(place) != 1:
                raise Unreadable("it repeats elements as often as the batch has samples")
            axes[place] = (BATCH,)  # a tensor is repeated over the batch as it is
    extents = [
        max(extent, 1 if BATCH in axis else padded.per_sample(i))
        for i, (extent, axis) in enumerate(zip(shape, axes, strict=True))
    ]
    return spread(call.net, replace(padded, axes=tuple(axes)), extents)


def _over_samples(call: Call, wanted: list[list[int]]) -> View | None:
    """Known numbers that are only repeated for each sample of the batch, which stays behind the scenes."""
    known = call.operand(0)
    places = [place for place, (one, two) in enumerate(zip(wanted[0], wanted[-1], strict=True)) if one != two]
    if not isinstance(known, Known) or known.array.ndim != len(wanted[0]) or len(places) != 1:
        return None
    (place,) = places
    extents = known.array.shape
    if extents[place] != 1:
        return None
    return plain_view(call.net.parameter(known, (*extents[:place], *extents[place + 1 :])), place)


def depth_to_space(call: Call) -> View:
    """Channels to pixels; CRD is a pixel shuffle."""
    view, block = call.view(0), call.whole("blocksize", 1)
    order = (0, 1, 4, 2, 5, 3) if call.text("mode", "DCR") == "CRD" else (0, 3, 4, 1, 5, 2)
    targets, reached = [], []
    for batch in call.net.batches:
        n, c, h, w = view.shape(batch)
        crd = order[1] == 1
        targets.append((n, c // block**2, block, block, h, w) if crd else (n, block, block, c // block**2, h, w))
        reached.append((n, c // block**2, h * block, w * block))
    parts = regrouped(call.net, view, targets).transposed(order)
    return regrouped(call.net, parts, reached)


def space_to_depth(call: Call) -> View:
    """Pixels to channels."""
    view, block = call.view(0), call.whole("blocksize", 1)
    order = (0, 1, 3, 5, 2, 4) if call.text("mode", "DCR") == "CRD" else (0, 3, 5, 1, 2, 4)
    targets, reached = [], []
    for batch in call.net.batches:
        n, c, h, w = view.shape(batch)
        targets.append((n, c, h // block, block, w // block, block))
        reached.append((n, c * block**2, h // block, w // block))
    parts = regrouped(call.net, view, targets).transposed(order)
    return regrouped(call.net, parts, reached)


def identity(call: Call) -> View:
    """The same tensor."""
    return call.view(0)


def dropout(call: Call) -> View:
    """Nothing is dropped at inference."""
    if any(call.outputs[1:]) or (call.has(2) and bool(call.fixed(2))):
        raise Unreadable("it drops elements, as in training, or gives its mask")
    view = call.view(0)
    ratio = float(call.fixed(1)) if call.has(1) else call.number("ratio", 0.5)
    return replace(view, value=call.net.one(Dropout(float(np.float32(ratio).astype(str))), view.value))


READERS: dict[str, Callable[[Call], Result]] = {
    "Shape": shape_of,
    "Size": size_of,
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Expand": expand,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Identity": identity,
    "Dropout": dropout,
}
