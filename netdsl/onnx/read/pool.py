"""Convolutions and pools: windows over spatial axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from netdsl.onnx.read.align import apart, join, regrouped, together
from netdsl.onnx.read.call import Call
from netdsl.onnx.read.functions import constant, mapped, scalar, scaled
from netdsl.onnx.read.values import Extents, Known, Places, Unreadable, View, plain_view
from netdsl.ops import window
from netdsl.ops.activation import Abs, Sqrt
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.elementwise import Add, Div, Mul
from netdsl.ops.function import Power
from netdsl.ops.maps import Pad
from netdsl.ops.pool import Pool, Unpool


def _spatial(call: Call, view: View) -> Extents:
    if view.rank not in (3, 4):
        raise Unreadable(f"windows over {view.rank - 2} spatial axes (the language has one or two)")
    return tuple(view.per_sample(axis) for axis in range(2, view.rank))


def _padding(call: Call, spatial: Extents, kernel: Extents, stride: Extents, dilation: Extents) -> Extents:
    """Starts then ends, by `pads` or `auto_pad`."""
    rank = len(spatial)
    mode = call.text("auto_pad", "NOTSET")
    if mode in ("NOTSET", ""):
        return call.ints("pads", (0,) * 2 * rank)
    if mode == "VALID":
        return (0,) * 2 * rank
    starts, ends = [], []
    for length, k, s, d in zip(spatial, kernel, stride, dilation, strict=True):
        whole = max((-(-length // s) - 1) * s + window.extent(k, d) - length, 0)
        less, more = whole // 2, whole - whole // 2
        starts.append(less if mode == "SAME_UPPER" else more)
        ends.append(more if mode == "SAME_UPPER" else less)
    return (*starts, *ends)


def conv(call: Call) -> View:
    """Convolution; its weights must be known."""
    view = call.view(0)
    spatial = _spatial(call, view)
    weight = call.known(1)
    kernel = weight.fixed("its weight").shape[2:]
    ones = (1,) * len(spatial)
    stride, dilation = call.ints("strides", ones), call.ints("dilations", ones)
    padding = _padding(call, spatial, kernel, stride, dilation)
    weights = (weight, call.known(2)) if call.has(2) else (weight,)
    op = Conv(weight.array.shape[0], kernel, stride, padding, dilation, call.whole("group", 1), bias=call.has(2))
    return call.net.back(call.net.one(op, call.net.batch_first(view), weights=weights), view)


def conv_transpose(call: Call) -> View:
    """Transposed convolution; its weights must be known."""
    view = call.view(0)
    spatial = _spatial(call, view)
    rank = len(spatial)
    weight = call.known(1)
    kernel = weight.fixed("its weight").shape[2:]
    stride, dilation = call.ints("strides", (1,) * rank), call.ints("dilations", (1,) * rank)
    outpad = call.ints("output_padding", (0,) * rank)
    groups = call.whole("group", 1)
    full = [
        (n - 1) * s + window.extent(k, d) + extra
        for n, s, k, d, extra in zip(spatial, stride, kernel, dilation, outpad, strict=True)
    ]
    mode = call.text("auto_pad", "NOTSET")
    wanted = call.ints("output_shape")
    if wanted or mode.startswith("SAME"):
        reached = wanted or tuple(n * s for n, s in zip(spatial, stride, strict=True))
        spare = [have - want for have, want in zip(full, reached, strict=True)]
        less, more = [max(n, 0) // 2 for n in spare], [max(n, 0) - max(n, 0) // 2 for n in spare]
        padding = (*less, *more) if mode == "SAME_UPPER" else (*more, *less)
        outpad = tuple(extra + max(-n, 0) for extra, n in zip(outpad, spare, strict=True))
    else:
        padding = call.ints("pads", (0,) * 2 * rank) if mode != "VALID" else (0,) * 2 * rank
    weights = (weight, call.known(2)) if call.has(2) else (weight,)
    # `outpad` smaller than a stride is the operator's own; a larger one is zeros behind the result.
    inner = tuple(min(extra, max(s, d) - 1) for extra, s, d in zip(outpad, stride, dilation, strict=True))
    op = UpConv(weight.array.shape[1] * groups, kernel, stride, padding, dilation, inner, groups, bias=call.has(2))
    value = call.net.one(op, call.net.batch_first(view), weights=weights)
    if inner != outpad:
        if call.has(2):
            raise Unreadable("it pads its result by more than a stride, and adds a bias there")
        value = call.net.one(Pad((0,) * rank + tuple(a - b for a, b in zip(outpad, inner, strict=True))), value)
    return call.net.back(value, view)


def pool(function: str) -> Callable[[Call], View | tuple[View, ...]]:
    """A reader of a pool."""

    def read(call: Call) -> View | tuple[View, ...]:
        view = call.view(0)
        if view.rank == 5:
            return _pool_of_volume(call, view, function)
        spatial = _spatial(call, view)
        op = _pool(call, function, spatial)
        if len(call.outputs) > 1 and call.outputs[1]:
            return _with_places(call, view, op)
        return _pooled(call, view, op)

    return read


def _pool(call: Call, function: str, spatial: Extents) -> Pool:
    rank = len(spatial)
    kernel = call.ints("kernel_shape")
    if len(kernel) != rank:
        raise Unreadable(f"its window has {len(kernel)} axes for {rank} spatial ones")
    stride, dilation = call.ints("strides", (1,) * rank), call.ints("dilations", (1,) * rank)
    padding = _padding(call, spatial, kernel, stride, dilation)
    inside = function == "avg" and not call.whole("count_include_pad", 0) and any(padding)
    return Pool(function, kernel, stride, padding, dilation, bool(call.whole("ceil_mode", 0)), count_pad=not inside)


def _pooled(call: Call, view: View, op: Pool) -> View:
    value = call.net.batch_first(view)
    rank = len(op.kernel)
    wide = any(max(op.padding[i], op.padding[rank + i]) > op.kernel[i] // 2 for i in range(rank))
    if wide and op.padding != window.same_padding(op.kernel, op.dilation):
        if op.function == "avg" and not op.count_pad:
            return _average_inside(call, view, op)
        # A pool's own padding is at most half its window; what is wider is padded before it.
        border = 0.0 if op.function == "avg" else float(np.finfo(np.float32).min)
        value = call.net.one(Pad(op.padding, border), value)
        op = replace(op, padding=(0,) * 2 * rank)
    return call.net.back(call.net.one(op, value), view)


def _average_inside(call: Call, view: View, op: Pool) -> View:
    """The mean of padded zeros over the mean of padded ones: what lies in the padding counts nowhere."""
    value = call.net.batch_first(view)
    rank = len(op.kernel)
    ones = np.pad(
        np.ones(value.type.shape[1:], np.float32), list(zip(op.padding[:rank], op.padding[rank:], strict=True))
    )
    plain = replace(op, padding=(0,) * 2 * rank, count_pad=True)
    total = call.net.back(call.net.one(plain, call.net.one(Pad(op.padding), value)), view)
    share = Known(ones[None, None], None, f"{call.net.here}.inside")
    counted = plain_view(call.net.parameter(share, (1, *ones.shape)), None)
    inside = call.net.one(plain, counted.value)
    return join(call.net, Div(), (total, plain_view(inside, None)))


def _with_places(call: Call, view: View, op: Pool) -> tuple[View, ...]:
    value = call.net.batch_first(view)
    if call.whole("storage_order", 0):
        raise Unreadable("it counts the places of maxima by columns")
    best, at = call.net.add(replace(op, indices=True), value)
    single = value.type.shape[0] == 1 and set(call.net.batches) == {1}
    seen = call.net.back(at, view)
    plane = prod(value.type.shape[1:])
    places = replace(seen, whole=True) if single else Places(seen.value, seen.atoms, seen.axes, True, plane)
    return call.net.back(best, view), places


def max_unpool(call: Call) -> View:
    """Undoes the pool whose places it takes."""
    view, places = call.view(0), call.operands[1]
    if not isinstance(places, View) or places.value.type.dtype.is_float:
        raise Unreadable("its places do not come from a MaxPool of the model")
    rank = view.rank - 2
    kernel = call.ints("kernel_shape")
    stride, pads = call.ints("strides", (1,) * rank), call.ints("pads", (0,) * 2 * rank)
    to = tuple(int(extent) for extent in call.fixed(2)[2:]) if call.has(2) else ()
    op = Unpool(kernel, stride, pads, to)
    return call.net.back(call.net.one(op, call.net.batch_first(view), call.net.batch_first(places)), view)


def places_in_planes(call: Call) -> View:
    """The places of maxima in their planes, which are those of the net."""
    places, plane = call.operand(0), call.operand(1)
    if not isinstance(places, Places) or scalar(plane) != places.plane:
        raise Unreadable("only the places of maxima have a remainder in the language, that by the size of a plane")
    return View(places.value, places.atoms, places.axes, whole=True)


def scatter_elements(call: Call) -> View:
    """Into planes of zeros, to the places in which a pool found maxima: undoes the pool."""
    planes, places, view = call.view(0), call.view(1), call.view(2)
    node = call.net.maker(places.value)
    if node is None or not isinstance(node.op, Pool) or not node.op.indices:
        raise Unreadable("its places are not those of a MaxPool of the model, each in its plane")
    maxima, to = node.outputs[1], node.inputs[0].type.shape[1:]
    batches = call.net.batches
    flat = [(batch, maxima.type.shape[0], prod(to)) for batch in batches]
    into = [planes.shape(batch) for batch in batches]
    if into != flat or call.whole("axis", 0) not in (2, -1) or not _zeros(call, planes):
        raise Unreadable("it scatters into something else than planes of zeros")
    maps = [(batch, *maxima.type.shape) for batch in batches]
    value, at = (call.net.batch_first(regrouped(call.net, each, maps)) for each in (view, places))
    if at is not maxima or set(node.op.dilation) != {1} or call.text("reduction", "none") != "none":
        raise Unreadable("it moves places, or the pool has a dilation, or it adds where places are equal")
    op = Unpool(node.op.kernel, node.op.stride, node.op.padding, to)
    return regrouped(call.net, call.net.back(call.net.one(op, value, at), view), flat)


def _zeros(call: Call, view: View) -> bool:
    """Whether a tensor is a weight of zeros, or a sum of such."""
    node = call.net.maker(view.value)
    parts = (view.value,) if node is None else node.inputs
    known = [call.net.weights.get(part.name) for part in parts]
    return (node is None or isinstance(node.op, Add)) and all(array is not None and not array.any() for array in known)


def _pool_of_volume(call: Call, view: View, function: str) -> View:
    """Three spatial axes, one after the other: planes first, then the depth."""
    if len(call.outputs) > 1 and call.outputs[1]:
        raise Unreadable("the places of maxima in a volume")
    spatial = tuple(view.per_sample(axis) for axis in (2, 3, 4))
    op = _pool(call, function, spatial)
    parted, frame = apart(view)
    value, batch = call.net.plain(parted)
    if batch not in (0, None) or frame is not None:
        raise Unreadable("its first axis is not the batch")
    base = plain_view(value, batch)
    channels = view.per_sample(1) * (1 if batch == 0 else view.per_sample(0))
    for axes in ((1, 2), (0,)):
        extents = list(spatial)
        kernel, stride, dilation = (tuple(which[i] for i in axes) for which in (op.kernel, op.stride, op.dilation))
        padding = tuple(op.padding[i] for i in axes) + tuple(op.padding[3 + i] for i in axes)
        if axes == (0,):
            kernel, stride, dilation = (*kernel, 1), (*stride, 1), (*dilation, 1)
            padding = (padding[0], 0, padding[1], 0)
            shape = (channels, extents[0], extents[1] * extents[2])
        else:
            shape = (channels * extents[0], extents[1], extents[2])
        part = replace(op, kernel=kernel, stride=stride, dilation=dilation, padding=padding)
        flat = call.net.arrange(*_regrouped(base, shape))
        flat_view = plain_view(flat, 0)
        result = _pooled(call, flat_view, part)
        reached = result.value.type.shape
        spatial = (extents[0], *reached[1:]) if len(axes) == 2 else (reached[1], *extents[1:])
        base = plain_view(result.value, 0)
    lead = (batch,) if batch == 0 else ()
    shape = (*(() if lead else (view.per_sample(0),)), view.per_sample(1), *spatial)
    value = call.net.arrange(*_regrouped(base, shape))
    return together(plain_view(value, batch), frame)


def _regrouped(view: View, shape: Sequence[int]) -> tuple[View, tuple[tuple[int, ...], ...]]:
    """The samples of a view under other extents, ready to be arranged."""
    plain = plain_view(view.value, None).reshaped([tuple(shape)], (1,))
    return plain, plain.axes


def global_pool(function: str) -> Callable[[Call], View]:
    """A reader of a pool of the whole map."""

    def read(call: Call) -> View:
        view = call.view(0)
        _spatial(call, view)
        return call.net.back(call.net.one(Pool(function, whole=True), call.net.batch_first(view)), view)

    return read


def lp_pool(call: Call) -> View:
    """(sum of |x|^p)^(1/p): a mean of powers, times the elements of the window."""
    view, p = call.view(0), call.whole("p", 2)
    raised = _raised(call, view, p)
    inner = replace(call, operands=(raised,), attributes={**call.attributes, "count_include_pad": 1})
    result = pool("avg")(inner)
    assert isinstance(result, View)
    total = scaled(call.net, result, float(prod(call.ints("kernel_shape"))))
    return _root(call, total, p)


def _raised(call: Call, view: View, p: int) -> View:
    if p == 2:
        return join(call.net, Mul(), (view, view))
    absolute = mapped(call.net, view, Abs())
    return absolute if p == 1 else join(call.net, Power(), (absolute, constant(float(p))))


def _root(call: Call, view: View, p: int) -> View:
    if p == 2:
        return mapped(call.net, view, Sqrt())
    return view if p == 1 else join(call.net, Power(), (view, constant(1 / p)))


READERS: dict[str, Callable[[Call], View | tuple[View, ...]]] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "MaxPool": pool("max"),
    "AveragePool": pool("avg"),
    "GlobalMaxPool": global_pool("max"),
    "GlobalAveragePool": global_pool("avg"),
    "MaxUnpool": max_unpool,
    "Mod": places_in_planes,
    "ScatterElements": scatter_elements,
    "LpPool": lp_pool,
}
