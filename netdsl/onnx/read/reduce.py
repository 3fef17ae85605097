"""Along axes: reductions, softmax, normalisations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np

from netdsl.onnx.read.align import apart, arranged, join, together
from netdsl.onnx.read.call import Call, axis_of, without_batch
from netdsl.onnx.read.functions import constant, mapped, reciprocal, shifted, short
from netdsl.onnx.read.net import Net
from netdsl.onnx.read.values import BATCH, Extents, Known, Unreadable, View
from netdsl.ops.activation import Abs, Exp, Log, LogSoftmax, Softmax, Sqrt
from netdsl.ops.base import Op
from netdsl.ops.elementwise import Add, Div, Maximum, Mul, Sub
from netdsl.ops.function import Compare
from netdsl.ops.norm import LRN, BatchNorm, GroupNorm, LayerNorm
from netdsl.ops.pool import Pool
from netdsl.ops.reduce import Largest, Mean, Product, Reduce, Smallest, Sum


def reduced(net: Net, view: View, op: Reduce, axes: Extents, keep: bool) -> View:
    """A reduction along ONNX axes, on the tensor as it lies where its own axes serve."""
    without_batch(view, axes)
    if view.atoms != view.value.type.shape:
        parted, frame = apart(view)
        if frame is not None and frame.merged is not None:
            grown = parted.rank - view.rank
            moved = tuple(axis if axis < frame.merged[0] else axis + grown for axis in axes)
            result = reduced(net, arranged(net, parted), op, moved, True)
            joined = together(result, frame)
            return joined if keep else _dropped(joined, axes)
        view = arranged(net, view)
    atoms = tuple(sorted(atom for axis in axes for atom in view.axes[axis]))
    if not atoms:
        kept = replace(view, axes=tuple(() if index in axes else axis for index, axis in enumerate(view.axes)))
        return kept if keep else _dropped(kept, axes)
    stays = keep and _is_plain(view)
    value = net.one(replace(op, axis=atoms, keep=stays), view.value)
    rest = [atom for atom in range(len(view.atoms)) if stays or atom not in atoms]
    place = {BATCH: BATCH, **{atom: index for index, atom in enumerate(rest)}}
    left = [() if index in axes else tuple(place[atom] for atom in axis) for index, axis in enumerate(view.axes)]
    kept = View(value, value.type.shape, tuple(left), view.whole)
    return kept if keep else _dropped(kept, axes)


def _is_plain(view: View) -> bool:
    return [axis for axis in view.axes if axis != (BATCH,)] == [(index,) for index in range(len(view.atoms))]


def _dropped(view: View, axes: Extents) -> View:
    return replace(view, axes=tuple(axis for index, axis in enumerate(view.axes) if index not in axes))


def _axes(call: Call, view: View) -> Extents | None:
    """The axes of a reduction; None where it does nothing."""
    axes = call.axes(1, view.rank)
    if axes:
        return axes
    return None if call.whole("noop_with_empty_axes", 0) else tuple(range(view.rank))


def reduction(
    op: Reduce, before: Callable[[Net, View], View] | None = None, after: Op | None = None
) -> Callable[[Call], View]:
    """A reader of a reduction, with what happens to each element before it and after it."""

    def read(call: Call) -> View:
        view = call.view(0)
        axes = _axes(call, view)
        view = before(call.net, view) if before else view
        if axes is not None:
            keep = bool(call.whole("keepdims", 1))
            pooled = _pooled(call, view, axes) if isinstance(op, Mean) and keep else None
            view = pooled or reduced(call.net, view, op, axes, keep)
        return mapped(call.net, view, after) if after else view

    return read


def _pooled(call: Call, view: View, axes: Extents) -> View | None:
    """The mean of a whole map, extents kept, is a pool."""
    map_axes = tuple(range(2, view.rank))
    if axes != map_axes or view.rank not in (3, 4) or view.axes[0] != (BATCH,) or not _is_plain(view):
        return None
    if view.atoms != view.value.type.shape:
        return None
    return call.net.back(call.net.one(Pool("avg", whole=True), view.value), view)


def _squared(net: Net, view: View) -> View:
    return join(net, Mul(), (view, view))


def _absolute(net: Net, view: View) -> View:
    return mapped(net, view, Abs())


def log_sum_exp(call: Call) -> View:
    """log(sum(exp(x))), from the largest element on, so that nothing overflows."""
    view = call.view(0)
    axes = _axes(call, view)
    if axes is None:
        return view
    top = reduced(call.net, view, Largest(), axes, True)
    inner = mapped(call.net, join(call.net, Sub(), (view, top)), Exp())
    result = join(call.net, Add(), (mapped(call.net, reduced(call.net, inner, Sum(), axes, True), Log()), top))
    return result if call.whole("keepdims", 1) else _dropped(result, axes)


def softmax(op_type: type[Softmax]) -> Callable[[Call], View]:
    """A reader of softmax or its logarithm; before version 13 over all axes from one on."""

    def read(call: Call) -> View:
        view = call.view(0)
        old = call.opset < 13
        axis = axis_of(call.whole("axis", 1 if old else -1), view.rank)
        axes = tuple(range(axis, view.rank)) if old else (axis,)
        return along(call.net, view, axes, lambda place: op_type(place))

    return read


def along(net: Net, view: View, axes: Extents, op: Callable[[int], Op], weights: tuple[Known, ...] = ()) -> View:
    """An operator along one axis, or along several that follow each other taken as one, which keeps the shape."""
    without_batch(view, axes)
    atoms = [atom for axis in axes for atom in view.axes[axis] if view.atoms[atom] > 1]
    if view.atoms == view.value.type.shape and len(atoms) == 1 and view.rank > view.value.type.rank:
        value = net.one(op(atoms[0]), view.value, weights=weights)
        return replace(view, value=value)
    parted, frame = apart(view)
    grown = parted.rank - view.rank
    start = frame.merged[0] if frame is not None and frame.merged is not None else view.rank
    places = [axis if axis < start else axis + grown for axis in axes]
    plain = arranged(net, parted)
    run = tuple(atom for place in places for atom in plain.axes[place])
    groups = [axis for index, axis in enumerate(plain.axes) if index not in places and axis != (BATCH,)]
    position = sum(1 for index in range(places[0]) if plain.axes[index] != (BATCH,))
    groups.insert(position, run)
    merged = net.arrange(plain, groups)
    value = net.one(op(position), merged, weights=weights)
    return together(replace(plain, value=net.reshaped(value, plain.value.type.shape)), frame)


def layer_norm(call: Call) -> View | tuple[View, ...]:
    """Over the last axes, from one on, taken as one."""
    view = call.view(0)
    axis = axis_of(call.whole("axis", -1), view.rank)
    axes = tuple(range(axis, view.rank))
    without_batch(view, axes)
    eps = short(call.number("epsilon", 1e-5))
    count = prod(view.per_sample(place) for place in axes)
    weights = [_flat(call.known(1), count)] if call.has(1) else []
    if call.has(2):
        weights.append(_flat(call.known(2), count))
    elif weights:
        weights.append(Known(np.zeros(count, np.float32), None, f"{call.net.here}.bias"))
    result = along(call.net, view, axes, lambda place: LayerNorm(place, eps, bool(weights)), tuple(weights))
    if not any(call.outputs[1:]):
        return result
    mean = reduced(call.net, view, Mean(), axes, True)
    centred = join(call.net, Sub(), (view, mean))
    variance = reduced(call.net, _squared(call.net, centred), Mean(), axes, True)
    inverse = reciprocal(call.net, mapped(call.net, shifted(call.net, variance, eps), Sqrt()))
    return result, mean, inverse


def _flat(known: Known, count: int) -> Known:
    array = known.fixed("a weight")
    if array.size != count:
        array = np.broadcast_to(array, (count,)) if array.size == 1 else array
    return replace(known, array=array.reshape(-1))


def batch_norm(call: Call) -> View:
    """With running statistics, which must be known."""
    if call.whole("training_mode", 0) or any(call.outputs[1:]):
        raise Unreadable("it normalises by the statistics of the batch, as in training")
    if call.whole("spatial", 1) != 1:
        raise Unreadable("it has statistics for every position")
    view = call.view(0)
    weights = tuple(call.known(index) for index in range(1, 5))
    value = call.net.batch_first(view)
    return call.net.back(call.net.one(BatchNorm(short(call.number("epsilon", 1e-5))), value, weights=weights), view)


def group_norm(call: Call) -> View:
    """Over each group of channels; instance normalisation has a group for each channel."""
    view = call.view(0)
    value = call.net.batch_first(view)
    channels = value.type.shape[0]
    groups = call.whole("num_groups", 1) if call.op == "GroupNormalization" else channels
    weights = []
    for index in (1, 2):
        known = call.known(index)
        array = known.fixed("a weight")
        if array.size == groups != channels:  # before version 21 a weight a group
            array = array.repeat(channels // groups)
        weights.append(replace(known, array=array))
    op = GroupNorm(groups, short(call.number("epsilon", 1e-5)))
    return call.net.back(call.net.one(op, value, weights=tuple(weights)), view)


def lrn(call: Call) -> View:
    """Across channels."""
    size = call.whole("size", 1)
    if size % 2 == 0:
        raise Unreadable("it sums over an even number of channels, of which ONNX takes one more behind")
    view = call.view(0)
    op = LRN(
        size, *(short(call.number(name, usual)) for name, usual in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    )
    return call.net.back(call.net.one(op, call.net.batch_first(view)), view)


def lp_norm(call: Call) -> View:
    """x over its norm along an axis; 0 where the norm is."""
    view = call.view(0)
    axes = (axis_of(call.whole("axis", -1), view.rank),)
    if call.whole("p", 2) == 1:
        norm = reduced(call.net, _absolute(call.net, view), Sum(), axes, True)
    else:
        norm = mapped(call.net, reduced(call.net, _squared(call.net, view), Sum(), axes, True), Sqrt())
    smallest = constant(float(np.finfo(np.float32).tiny))
    return join(call.net, Div(), (view, join(call.net, Maximum(), (norm, smallest))))


def mean_variance(call: Call) -> View:
    """(x - mean) / sqrt(variance), over the batch and the map unless said otherwise."""
    view = call.view(0)
    axes = tuple(axis_of(axis, view.rank) for axis in call.ints("axes", (0, 2, 3)))
    mean = reduced(call.net, view, Mean(), axes, True)
    centred = join(call.net, Sub(), (view, mean))
    deviation = mapped(call.net, reduced(call.net, _squared(call.net, centred), Mean(), axes, True), Sqrt())
    return join(call.net, Div(), (centred, shifted(call.net, deviation, 1e-9)))


def rms_norm(call: Call) -> View:
    """x / sqrt(mean(x^2) + eps), times a scale."""
    view = call.view(0)
    axes = tuple(range(axis_of(call.whole("axis", -1), view.rank), view.rank))
    square = reduced(call.net, _squared(call.net, view), Mean(), axes, True)
    root = mapped(call.net, shifted(call.net, square, short(call.number("epsilon", 1e-5))), Sqrt())
    normal = join(call.net, Div(), (view, root))
    return join(call.net, Mul(), (normal, call.operand(1)))


def hardmax(call: Call) -> View:
    """1 at the first of the largest elements along an axis, else 0."""
    view = call.view(0)
    old = call.opset < 13
    axis = axis_of(call.whole("axis", 1 if old else -1), view.rank)
    if old and axis != view.rank - 1:
        raise Unreadable("it takes several axes as one")
    top = join(call.net, Compare("equal"), (view, reduced(call.net, view, Largest(), (axis,), True)))
    length = view.per_sample(axis)
    shape = [1] * (view.rank - axis)
    shape[0] = length
    fall = Known(np.arange(length, 0, -1, dtype=np.float32).reshape(shape), None, f"{call.net.here}.order")
    ranked = join(call.net, Mul(), (top, fall))
    first = reduced(call.net, ranked, Largest(), (axis,), True)
    return join(call.net, Compare("equal"), (ranked, first), False)


READERS: dict[str, Callable[[Call], View | tuple[View, ...]]] = {
    "ReduceMean": reduction(Mean()),
    "ReduceSum": reduction(Sum()),
    "ReduceMax": reduction(Largest()),
    "ReduceMin": reduction(Smallest()),
    "ReduceProd": reduction(Product()),
    "ReduceL1": reduction(Sum(), _absolute),
    "ReduceL2": reduction(Sum(), _squared, Sqrt()),
    "ReduceSumSquare": reduction(Sum(), _squared),
    "ReduceLogSum": reduction(Sum(), None, Log()),
    "ReduceLogSumExp": log_sum_exp,
    "Softmax": softmax(Softmax),
    "LogSoftmax": softmax(LogSoftmax),
    "Hardmax": hardmax,
    "LayerNormalization": layer_norm,
    "BatchNormalization": batch_norm,
    "InstanceNormalization": group_norm,
    "GroupNormalization": group_norm,
    "LRN": lrn,
    "LpNormalization": lp_norm,
    "MeanVarianceNormalization": mean_variance,
    "RMSNormalization": rms_norm,
}
