"""Operands brought together: equal axes, the batch in one place, extents of 1 where they are repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from netdsl.ir.graph import Value
from netdsl.onnx.read.call import Operand, without_batch
from netdsl.onnx.read.net import Net
from netdsl.onnx.read.values import BATCH, Array, Axes, Extents, Known, Unreadable, View, plain_view
from netdsl.ops.base import Op
from netdsl.ops.each import Regroup
from netdsl.ops.elementwise import Add
from netdsl.ops.linear import Fc


@dataclass(frozen=True)
class Frame:
    """The ONNX axes that aligned operands share: where the batch is, and which axes were one before."""

    batch: int | None
    merged: tuple[int, int] | None
    whole: bool

    def view(self, value: Value) -> View:
        """The result of aligned operands as ONNX sees it."""
        view = plain_view(value, self.batch, self.whole)
        if self.merged is None:
            return view
        start, stop = self.merged
        joined = tuple(atom for axis in view.axes[start:stop] for atom in axis)
        return replace(view, axes=(*view.axes[:start], joined, *view.axes[stop:]))


def align(net: Net, operands: Sequence[Operand], rank: int | None = None) -> tuple[list[Value], Frame]:
    """Tensors of equal rank, for an operator that takes them element by element. Raises Unreadable."""
    operands = _in_step(net, operands)
    width = rank or max(_rank(operand) for operand in operands)
    views = [_padded(operand, width) for operand in operands if isinstance(operand, View)]
    place = _batch_place(views)
    parts = _parts(views, place) if place is not None else None
    start = place if place is not None else 0
    split = [_split(view, start, parts) for view in views] if parts else views
    batch = start + parts.index(BATCH) if parts else place
    frame = Frame(batch, (start, start + len(parts)) if parts else None, all(view.whole for view in views))
    waiting = iter(split)
    values = []
    for operand in operands:
        if isinstance(operand, View):
            values.append(_value(net, next(waiting), batch))
        else:
            values.append(_constant(net, operand, width, start, parts, batch))
    return values, frame


def join(net: Net, op: Op, operands: Sequence[Operand], whole: bool | None = None) -> View:
    """An operator on equal places of its operands, which are spread over each other as NumPy does it."""
    operands = _in_step(net, operands)
    views = [operand for operand in operands if isinstance(operand, View)]
    first = views[0]
    kept = all(view.whole for view in views) if whole is None else whole
    if all((view.atoms, view.axes, view.value.type.shape) == _form(first) for view in views):
        seen = [operand if isinstance(operand, View) else _as_seen(operand, first) for operand in operands]
        if None not in seen:
            values = [
                item.value if isinstance(item, View) else net.parameter(item) for item in seen if item is not None
            ]
            result = net.one(op, *values)
            if result.type.shape == first.value.type.shape:
                return View(result, first.atoms, first.axes, kept)
    values, frame = align(net, operands)
    return replace(frame.view(net.one(op, *values)), whole=kept)


def _in_step(net: Net, operands: Sequence[Operand]) -> Sequence[Operand]:
    """Where one operand has rows of the batch, so have the others."""
    if all(one.rows == 1 for one in operands if isinstance(one, View)):
        return operands
    return [net.each(one) if isinstance(one, View) else one for one in operands]


def _form(view: View) -> tuple[Extents, Axes, Extents]:
    return view.atoms, view.axes, view.value.type.shape


def _as_seen(operand: Known, view: View) -> Known | None:
    """Known numbers in the order of a view's own tensor, ready to be spread over it; None where that cannot be."""
    array = operand.fixed("a constant")
    if array.size == 1:
        return replace(operand, array=array.reshape(1))
    if array.ndim > view.rank:
        return None
    extents = (1,) * (view.rank - array.ndim) + array.shape
    shape: list[int] = []
    order: list[int] = []
    for axis, extent in zip(view.axes, extents, strict=True):
        atoms = [atom for atom in axis if atom != BATCH]
        if extent != 1 and (BATCH in axis or extent != prod(view.atoms[atom] for atom in atoms)):
            return None
        shape += [view.atoms[atom] if extent != 1 else 1 for atom in atoms]
        order += atoms
    lacking = [atom for atom in range(len(view.atoms)) if atom not in order]
    shape += [1] * len(lacking)
    order += lacking
    seen = array.reshape(shape).transpose(np.argsort(order))
    merged = _merged(seen, view)
    return None if merged is None else replace(operand, array=merged)


def _merged(array: Array, view: View) -> Array | None:
    """An array over atoms as one over the extents of the tensor, which atoms follow each other to make."""
    if view.atoms == view.value.type.shape:
        return array
    result: list[int] = []
    at = 0
    for extent in view.value.type.shape:
        full, here = 1, 1
        while full < extent:
            full, here, at = full * view.atoms[at], here * array.shape[at], at + 1
        if full != extent or here not in (1, extent):
            return None
        result.append(here)
    return array.reshape(result) if prod(result) == array.size else None


def _rank(operand: Operand) -> int:
    return operand.rank if isinstance(operand, View) else operand.array.ndim


def _padded(view: View, rank: int) -> View:
    return replace(view, axes=((),) * (rank - view.rank) + view.axes)


def _batch_place(views: Sequence[View]) -> int | None:
    places = {view.batch_axis for view in views} - {None}
    if len(places) > 1:
        raise Unreadable("its operands have the batch on different axes")
    return places.pop() if places else None


def _parts(views: Sequence[View], place: int) -> list[int] | None:
    """What the axis of the batch is made of, where it holds more than that: extents, and BATCH."""
    found: list[list[int]] = []
    for view in views:
        parts = [atom if atom == BATCH else view.atoms[atom] for atom in view.axes[place]]
        parts = [part for part in parts if part != 1]
        if len(parts) > 1:
            found.append(parts)
    if any(parts != found[0] for parts in found):
        raise Unreadable("its operands mix the batch with other extents in different ways")
    return found[0] if found else None


def _split(view: View, place: int, parts: Sequence[int]) -> View:
    """The axis of the batch as one axis for each part."""
    axis = tuple(atom for atom in view.axes[place] if atom == BATCH or view.atoms[atom] > 1)
    pieces: Axes = tuple((atom,) for atom in axis) if len(axis) == len(parts) else ((),) * len(parts)
    if axis and len(axis) != len(parts):
        raise Unreadable("one operand has the batch alone where another mixes it with other extents")
    return replace(view, axes=(*view.axes[:place], *pieces, *view.axes[place + 1 :]))


def _value(net: Net, view: View, batch: int | None) -> Value:
    if batch is not None and view.batch_axis is None and view.per_sample(batch) > 1:
        raise Unreadable("one operand has a value for each sample of the batch, and no batch")
    return net.arrange(view, [axis for index, axis in enumerate(view.axes) if index != batch])


def _constant(net: Net, known: Known, rank: int, start: int, parts: Sequence[int] | None, batch: int | None) -> Value:
    array = known.fixed("a constant")
    if not array.size:
        raise Unreadable("a constant without elements cannot be written")
    if array.size == 1:
        return net.parameter(known, (1,))
    extents = [1] * (rank - array.ndim) + list(array.shape)
    if parts:
        if extents[start] != 1:
            raise Unreadable("a constant has values along an axis that holds the batch")
        extents[start : start + 1] = [1] * len(parts)
    if batch is not None:
        if extents[batch] != 1:
            raise Unreadable("a constant has a value for each sample of the batch")
        del extents[batch]
    return net.parameter(known, tuple(extents))


def apart(view: View) -> tuple[View, Frame | None]:
    """A view whose batch is an axis of its own, and what joins the axes again."""
    place = view.batch_axis
    if place is None or (parts := _parts([view], place)) is None:
        return view, None
    return _split(view, place, parts), Frame(None, (place, place + len(parts)), view.whole)


def together(view: View, frame: Frame | None) -> View:
    """Join the axes that `apart` took apart."""
    if frame is None or frame.merged is None:
        return view
    start, stop = frame.merged
    joined = tuple(atom for axis in view.axes[start:stop] for atom in axis)
    return replace(view, axes=(*view.axes[:start], joined, *view.axes[stop:]))


def arranged(net: Net, view: View) -> View:
    """The same tensor in ONNX's own order, one atom an axis (axes but the batch)."""
    value, place = net.plain(view)
    return plain_view(value, place, view.whole)


def spread(net: Net, view: View, shape: Sequence[int]) -> View:
    """A tensor repeated along its axes of extent 1, to these extents (the batch's own among them, which stays)."""
    padded = _padded(view, len(shape))
    extents = [1 if BATCH in axis else extent for axis, extent in zip(padded.axes, shape, strict=True)]
    same = all(BATCH in axis or padded.per_sample(i) == extents[i] for i, axis in enumerate(padded.axes))
    if same:
        return padded
    zeros = Known(np.zeros(extents, np.float32), None, "zeros_" + "x".join(map(str, extents)))
    return join(net, Add(), (padded, zeros), view.whole)


def times_matrix(net: Net, view: View, axis: int, matrix: Known) -> View:
    """Along one axis, each result a weighted sum of elements: `out x in` weights."""
    without_batch(view, (axis,))
    parted, frame = apart(view)
    place = axis if frame is None or frame.merged is None or axis < frame.merged[0] else axis + parted.rank - view.rank
    order = [*(i for i in range(parted.rank) if i != place), place]
    value, batch = net.plain(parted.transposed(order))
    out = net.one(Fc(matrix.array.shape[0], bias=False), value, weights=(matrix,))
    result = plain_view(out, batch, view.whole)
    return together(result.transposed([order.index(i) for i in range(parted.rank)]), frame)


def over_batch(net: Net, known: Known) -> Operand:
    """Numbers that are the same for every sample of the batch are a weight; others stay as they are."""
    if known.other is None or known.array.ndim != known.other.ndim or known.array.dtype.kind != "f":
        return known
    pairs = list(zip(known.array.shape, known.other.shape, strict=True))
    if [pair for pair in pairs if pair[0] != pair[1]] != [net.batches]:
        return known
    place = pairs.index((net.batches[0], net.batches[-1]))
    first = known.array.take([0], place)
    if not np.array_equal(known.array, np.broadcast_to(first, known.array.shape)):
        return known
    value = net.parameter(Known(first.squeeze(place), None, known.name))
    return plain_view(value, place)


def regrouped(net: Net, view: View, targets: Sequence[Extents]) -> View:
    """A view under other extents, one shape for each batch; a tensor is moved only where extents have no common cut."""
    try:
        return view.reshaped(targets, net.batches)
    except Unreadable:
        if view.rows > 1 and view.batch_axis is not None:
            count, rest = divmod(view.rows * net.batches[0], (targets[0][0] if targets[0] else 0) or 1)
            fits = not rest and 1 < count <= view.rows
            return regrouped(net, grouped(net, view, count if fits else view.rows), targets)
        leads = view.batch_axis is None or view.axes[0][:1] == (BATCH,)
        sizes = [(prod(t), prod(view.shape(b))) for t, b in zip(targets, net.batches, strict=True)]
        if not leads or not targets[0] or any(new != old for new, old in sizes):
            raise
        first = [1] * len(net.batches) if view.batch_axis is None else list(net.batches)
        firsts = {target[0] // batch for target, batch in zip(targets, first, strict=True)}
        rests = {tuple(target[1:]) for target in targets}
        if len(firsts) > 1 or len(rests) > 1 or any(t[0] % b for t, b in zip(targets, first, strict=True)):
            raise
        alone = firsts == {1} and view.batch_axis is not None
        shape = (*(() if alone else firsts), *rests.pop())
        value = net.reshaped(net.arrange(view, [tuple(a for a in axis if a != BATCH) for axis in view.axes]), shape)
        if alone:
            return plain_view(value, 0, view.whole)
        result = plain_view(value, None, view.whole)
        head = (BATCH, 0) if view.batch_axis is not None else (0,)
        return replace(result, axes=(head, *result.axes[1:]))


def grouped(net: Net, view: View, count: int) -> View:
    """Rows of the batch as an axis again, which is merged into the batch."""
    axes = tuple(
        tuple(part for atom in axis for part in ((BATCH, 0) if atom == BATCH else (atom + 1,))) for axis in view.axes
    )
    return replace(view, value=net.one(Regroup(count), view.value), atoms=(count, *view.atoms), axes=axes)
