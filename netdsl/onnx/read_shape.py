"""Rearrangements: most of them only regroup what a view says; the others are slices and joins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

import numpy as np

from netdsl.onnx.read_align import align, apart, arranged, regrouped, spread, times_matrix, together
from netdsl.onnx.read_call import Call, Operand, as_view, axis_of, without_batch
from netdsl.onnx.read_net import Net
from netdsl.onnx.read_values import BATCH, Array, Known, Regions, Unreadable, View, both, plain_view
from netdsl.ops.base import Op
from netdsl.ops.noise import Dropout
from netdsl.ops.sequence import Embed
from netdsl.ops.shape import Concat, Crop, Pad, Slice, Split, Take, Upsample
from netdsl.tensor import DType

PIECES = 64
"""Slices that a choice of elements is joined from; a choice of more is a product with a matrix of zeros and ones."""

Result = View | Known | tuple[View | Known, ...]


def shape_of(call: Call) -> Known:
    """The extents, known but for the batch."""
    view = call.view(0)
    start, stop = call.whole("start", 0), call.attributes.get("end")
    arrays = [np.array(view.shape(batch)[start:stop], np.int64) for batch in call.net.batches]
    return _for_batches(arrays)


def size_of(call: Call) -> Known:
    """The number of elements."""
    view = call.view(0)
    return _for_batches([np.array(prod(view.shape(batch)), np.int64) for batch in call.net.batches])


def _for_batches(arrays: Sequence[Array]) -> Known:
    return both(lambda x: x, Known(arrays[0], arrays[-1] if len(arrays) > 1 else None))


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


def concat(call: Call) -> View:
    """One after the other."""
    operands = [operand for operand in call.operands if operand is not None]
    ranks = {operand.rank if isinstance(operand, View) else operand.array.ndim for operand in operands}
    if len(ranks) > 1:
        raise Unreadable("its operands have different numbers of axes")
    (rank,) = ranks
    axis = axis_of(call.whole("axis", 1), rank)
    operands = [o for o in operands if isinstance(o, View) or o.array.shape[axis]]  # nothing joins nothing
    if len(operands) == 1:
        return as_view(call.net, operands[0])
    return _boxes_with_samples(call.net, operands, axis) or joined(call.net, operands, axis)


def _boxes_with_samples(net: Net, operands: Sequence[Operand], axis: int) -> View | None:
    """Boxes, each after the number of its sample, which depends on the batch and on nothing else."""
    samples, boxes = operands[0], operands[-1]
    if not isinstance(samples, Known) or samples.other is None or not isinstance(boxes, View):
        return None
    lists = len(operands) == boxes.rank == 2 and axis == 1
    if not lists or samples.array.shape != (boxes.shape(net.batches[0])[0], 1) or boxes.per_sample(1) != 4:
        return None
    return Regions(boxes.value, boxes.atoms, boxes.axes, samples=samples)


def joined(net: Net, operands: Sequence[Operand], axis: int) -> View:
    """Tensors of equal rank, one after the other along an ONNX axis."""
    for operand in operands:
        if isinstance(operand, View):
            without_batch(operand, (axis,))
    values, frame = align(net, operands)
    place = axis
    if frame.batch is not None:
        grown = 0 if frame.merged is None else frame.merged[1] - frame.merged[0] - 1
        place = axis if axis < (frame.merged[0] if frame.merged else frame.batch) else axis + grown
        place -= place > frame.batch
    return frame.view(net.one(Concat(place), *values))


def at_axis(view: View, axis: int) -> tuple[int, bool]:
    """The tensor's own axis that an ONNX axis is, and whether it is one."""
    atoms = [atom for atom in view.axes[axis] if atom == BATCH or view.atoms[atom] > 1]
    own = view.atoms == view.value.type.shape and len(atoms) == 1 and atoms[0] != BATCH
    return (atoms[0], True) if own else (0, False)


def cut(net: Net, view: View, axis: int, op: Callable[[int], Op]) -> list[View]:
    """The results of an operator that changes the extent of one axis and nothing else."""
    without_batch(view, (axis,))
    atom, own = at_axis(view, axis)
    if own:
        return [View(v, v.type.shape, view.axes, view.whole) for v in net.add(op(atom), view.value)]
    parted, frame = apart(view)
    start = frame.merged[0] if frame is not None and frame.merged is not None else view.rank
    place = axis if axis < start else axis + parted.rank - view.rank
    plain = arranged(net, parted)
    (atom,) = plain.axes[place]
    values = net.add(op(atom), plain.value)
    return [together(View(v, v.type.shape, plain.axes, view.whole), frame) for v in values]


def split(call: Call) -> tuple[View | Known, ...]:
    """Pieces along an axis: equal ones, or of given sizes."""
    view = call.view(0)
    axis = axis_of(call.whole("axis", 0), view.rank)
    without_batch(view, (axis,))
    length = view.per_sample(axis)
    if call.has(1):
        sizes = tuple(int(size) for size in call.fixed(1))
    elif "split" in call.attributes:
        sizes = call.ints("split")
    else:
        size = -(-length // call.whole("num_outputs", len(call.outputs)))
        sizes = tuple(min(size, length - start) for start in range(0, length, size))
    if sum(sizes) != length or min(sizes) < 0:
        raise Unreadable(f"its pieces {sizes} are not those of {length} elements")
    if 0 in sizes:
        waiting = iter(_pieces(call.net, view, axis, tuple(size for size in sizes if size)))
        return tuple(next(waiting) if size else _empty(call.net, view, axis) for size in sizes)
    return _pieces(call.net, view, axis, sizes)


def _empty(net: Net, view: View, axis: int) -> Known:
    """A tensor without elements along an axis: known, whatever the input is."""
    shapes = [[0 if i == axis else n for i, n in enumerate(view.shape(batch))] for batch in net.batches]
    return _for_batches([np.zeros(shape, np.float32) for shape in shapes])


def _pieces(net: Net, view: View, axis: int, sizes: tuple[int, ...]) -> tuple[View, ...]:
    if len(sizes) == 1:
        return (view,)
    if all(size == sizes[0] for size in sizes[:-1]) and sizes[-1] <= sizes[0]:
        return tuple(cut(net, view, axis, lambda atom: Split(sizes[0], atom)))
    starts = np.cumsum((0, *sizes)).tolist()
    return tuple(
        piece
        for start, stop in pairwise(starts)
        for piece in cut(net, view, axis, lambda atom, a=start, b=stop: Slice(a, b, atom))  # type: ignore[misc]
    )


def slice_(call: Call) -> View:
    """Elements between places, along one axis after the other."""
    view = call.view(0)
    if len(call.operands) > 1:
        starts = call.fixed(1).reshape(-1).tolist()
        axes = call.fixed(3, range(len(starts))).reshape(-1).tolist()
        steps = call.fixed(4, [1] * len(starts)).reshape(-1).tolist()
        ends: list[int] = [int(n) for n in call.known(2).array.reshape(-1)]
    else:
        starts, ends = list(call.ints("starts")), list(call.ints("ends"))
        axes, steps = list(call.ints("axes", tuple(range(len(starts))))), [1] * len(starts)
    if _is_crop(call, view, axes, steps):
        kept = [range(view.per_sample(axis))[a:b] for axis, (a, b) in _spatial(view, axes, starts, ends)]
        if all(kept):
            cuts = [(part[0], view.per_sample(axis) - part[-1] - 1) for axis, part in enumerate(kept, 2)]
            op = Crop(padding=(*(start for start, _ in cuts), *(end for _, end in cuts)))
            return call.net.back(call.net.one(op, call.net.batch_first(view)), view)
    for start, stop, given, step in zip(starts, ends, axes, steps, strict=True):
        axis = axis_of(given, view.rank)
        if BATCH in view.axes[axis]:
            if start == 0 and step == 1 and all(stop >= view.shape(batch)[axis] for batch in call.net.batches):
                continue
            raise Unreadable("it cuts samples out of the batch")
        chosen = range(view.per_sample(axis))[start:stop:step]
        if call.known(2).other is not None and len(call.operands) > 2:
            raise Unreadable("where it ends depends on the size of the batch")
        view = taken(call.net, view, axis, list(chosen))
    return view


def _is_crop(call: Call, view: View, axes: Sequence[int], steps: Sequence[int]) -> bool:
    """Whether it cuts all spatial axes of a map at once."""
    places = sorted(axis_of(axis, view.rank) for axis in axes)
    ends = call.known(2).other if len(call.operands) > 1 else None
    plain = view.rank in (3, 4) and view.axes[0] == (BATCH,) and ends is None
    return plain and places == list(range(2, view.rank)) and set(steps) == {1}


def _spatial(
    view: View, axes: Sequence[int], starts: Sequence[int], ends: Sequence[int]
) -> list[tuple[int, tuple[int, int]]]:
    """Spatial axes in order, each with where it begins and ends."""
    return sorted((axis_of(axis, view.rank), (start, end)) for axis, start, end in zip(axes, starts, ends, strict=True))


def taken(net: Net, view: View, axis: int, places: list[int]) -> View:
    """Elements at given places of an axis, in that order."""
    length = view.per_sample(axis)
    if places == list(range(length)):
        return view
    if not places:
        raise Unreadable("nothing is left of it (the language has no empty tensors)")
    runs = _runs(places)
    if len(runs) > PIECES:
        matrix = np.zeros((len(places), length), np.float32)
        matrix[range(len(places)), places] = 1
        return times_matrix(net, view, axis, Known(matrix, None, f"{net.here}.places"))
    pieces = [
        cut(net, view, axis, lambda atom, r=run: Slice(r[0], r[-1] + 1, atom, r.step))[0]  # type: ignore[misc]
        if run != range(length)
        else view
        for run in runs
    ]
    return pieces[0] if len(pieces) == 1 else joined(net, pieces, axis)


def _runs(places: list[int]) -> list[range]:
    """Places as slices with a constant step forward."""
    runs: list[range] = []
    for place in places:
        last = runs[-1] if runs else range(0)
        step = place - last[-1] if last else 0
        if last and step > 0 and (len(last) == 1 or step == last.step):
            runs[-1] = range(last[0], place + 1, step)
        else:
            runs.append(range(place, place + 1))
    return runs


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


def tile(call: Call) -> View:
    """Copies one after the other."""
    view = call.view(0)
    for axis, count in enumerate(call.fixed(1).tolist()):
        if count > PIECES:
            raise Unreadable(f"it makes {count} copies")
        view = joined(call.net, [view] * count, axis) if count > 1 else view
    return view


def pad(call: Call) -> View:
    """More elements at both ends of axes, one axis after the other where they are no map's."""
    view = call.view(0)
    widths = call.fixed(1).tolist() if call.has(1) else list(call.ints("pads") or call.ints("paddings"))
    value = call.attributes.get("value", 0.0)
    if call.has(2) and call.fixed(2).size:
        value = float(call.fixed(2).reshape(-1)[0])
    axes = call.axes(3, view.rank) if call.has(3) else None
    given = [axis_of(int(axis), view.rank) for axis in call.fixed(3)] if axes is not None else list(range(view.rank))
    half = len(widths) // 2
    sides = {axis: (int(widths[i]), int(widths[half + i])) for i, axis in enumerate(given)}
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}.get(call.text("mode", "constant"))
    for axis, (before, after) in sides.items():
        if before < 0 or after < 0:
            view = taken(call.net, view, axis, list(range(view.per_sample(axis)))[max(-before, 0) : -after or None])
            sides[axis] = (max(before, 0), max(after, 0))
    changed = [axis for axis, widths_ in sides.items() if any(widths_)]
    plain = view.batch_axis == 0 and view.axes[0] == (BATCH,)
    if mode and plain and view.rank in (3, 4) and all(axis >= 2 for axis in changed) and changed:
        pairs = [sides.get(axis, (0, 0)) for axis in range(2, view.rank)]
        op = Pad((*(a for a, _ in pairs), *(b for _, b in pairs)), float(value), mode)
        return call.net.back(call.net.one(op, call.net.batch_first(view)), view)
    for axis in changed:
        view = _padded(call, view, axis, sides[axis], float(value), mode)
    return view


def _padded(call: Call, view: View, axis: int, sides: tuple[int, int], value: float, mode: str | None) -> View:
    """One axis, as the rows of a map."""
    without_batch(view, (axis,))
    length = view.per_sample(axis)
    if mode != "constant":
        wide = np.pad(np.arange(length), sides, mode={"reflect": "reflect", "replicate": "edge", None: "wrap"}[mode])  # type: ignore[call-overload]
        return taken(call.net, view, axis, wide.tolist())
    parted, frame = apart(view)
    start = frame.merged[0] if frame is not None and frame.merged is not None else view.rank
    place = axis if axis < start else axis + parted.rank - view.rank
    plain = arranged(call.net, parted)
    atoms = list(plain.value.type.shape)
    (atom,) = plain.axes[place]
    shape = (prod(atoms[:atom]), atoms[atom], prod(atoms[atom + 1 :]))
    rows = call.net.one(Pad((sides[0], 0, sides[1], 0), value), call.net.reshaped(plain.value, shape))
    atoms[atom] += sum(sides)
    result = call.net.reshaped(rows, tuple(atoms))
    return together(View(result, result.type.shape, plain.axes, view.whole), frame)


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
    "Concat": concat,
    "Split": split,
    "Slice": slice_,
    "Gather": gather,
    "GatherND": gather_nd,
    "Expand": expand,
    "Tile": tile,
    "Pad": pad,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Identity": identity,
    "Dropout": dropout,
}
