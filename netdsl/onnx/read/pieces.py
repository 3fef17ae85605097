"""Joins and pieces along an axis: concatenations, splits, slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from netdsl.onnx.read.align import align, apart, arranged, times_matrix, together
from netdsl.onnx.read.call import Call, Operand, as_view, axis_of, without_batch
from netdsl.onnx.read.net import Net
from netdsl.onnx.read.values import BATCH, Known, Regions, Unreadable, View, for_batches
from netdsl.ops.base import Op
from netdsl.ops.maps import Crop
from netdsl.ops.pieces import Concat, Slice, Split

PIECES = 64
"""Slices that a choice of elements is joined from; a choice of more is a product with a matrix of zeros and ones."""


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
    return for_batches([np.zeros(shape, np.float32) for shape in shapes])


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
    """Whether it cuts both spatial axes of a map at once."""
    places = sorted(axis_of(axis, view.rank) for axis in axes)
    ends = call.known(2).other if len(call.operands) > 1 else None
    plain = view.rank == 4 and view.axes[0] == (BATCH,) and ends is None
    return plain and places == [2, 3] and set(steps) == {1}


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


def tile(call: Call) -> View:
    """Copies one after the other."""
    view = call.view(0)
    for axis, count in enumerate(call.fixed(1).tolist()):
        if count > PIECES:
            raise Unreadable(f"it makes {count} copies")
        view = joined(call.net, [view] * count, axis) if count > 1 else view
    return view


READERS: dict[str, Callable[[Call], View | tuple[View | Known, ...]]] = {
    "Concat": concat,
    "Split": split,
    "Slice": slice_,
    "Tile": tile,
}
