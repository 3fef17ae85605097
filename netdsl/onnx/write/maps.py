"""Operators on feature maps as ONNX: convolution, pooling, normalisation, resampling."""

from __future__ import annotations

from math import prod

import numpy as np

from netdsl.onnx.write.site import Site
from netdsl.ops import window
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.maps import Upsample
from netdsl.ops.norm import LRN, BatchNorm, BatchNormScale, GroupNorm, LayerNorm
from netdsl.ops.pool import AdaptivePool, Pool, Unpool


def conv(op: Conv, at: Site, x: str, *weights: str) -> str:
    """Conv. ONNX lists padding as we do: starts, then ends."""
    settings = {"strides": op.stride, "pads": op.padding, "dilations": op.dilation, "group": op.groups}
    return at("Conv", x, *weights, kernel_shape=op.kernel, **settings)


def upconv(op: UpConv, at: Site, x: str, weight: str, *bias: str) -> str:
    """ConvTranspose."""
    settings = {"kernel_shape": op.kernel, "strides": op.stride, "dilations": op.dilation, "group": op.groups}
    if all(extra < s for extra, s in zip(op.outpad, op.stride, strict=True)):
        return at("ConvTranspose", x, weight, *bias, pads=op.padding, output_padding=op.outpad, **settings)
    # Runtimes refuse an output padding that only the dilation allows: cut less, add zeros where that is not enough.
    rank = len(op.kernel)
    ends = [max(cut - extra, 0) for cut, extra in zip(op.padding[rank:], op.outpad, strict=True)]
    more = [max(extra - cut, 0) for cut, extra in zip(op.padding[rank:], op.outpad, strict=True)]
    y = at("ConvTranspose", x, weight, pads=(*op.padding[:rank], *ends), **settings)
    if any(more):
        y = at("Pad", y, at.ints("pads", (*[0] * (4 + rank), *more)), at.reals("zero", 0))
    return at("Add", y, at.per_channel(bias[0], rank)) if bias else y


def pool(op: Pool, at: Site, x: str) -> str | tuple[str, ...]:
    """MaxPool, AveragePool and their global forms; a minimum is a maximum of the opposite."""
    if op.function == "min":
        return at("Neg", _max_pool(op, at, at("Neg", x), outputs=1)[0])
    if op.function == "max" and op.indices:
        best, places = _max_pool(op, at, x, outputs=2)
        # ONNX counts places through all samples and channels, we within a plane.
        return best, at("Mod", places, at.ints("plane", prod(at.types[0].shape[1:])))
    if op.function == "max":
        return _max_pool(op, at, x, outputs=1)[0]
    if _is_global(op, at):
        return at("GlobalAveragePool", x)
    if op.count_pad and any(op.padding) and any(_hangs(op, at)):
        return _average_over_the_end(op, at, x)
    settings = {"kernel_shape": op.kernel, "strides": op.stride, **_border(op, at)}
    return at("AveragePool", x, dilations=_dilation(op), count_include_pad=int(op.count_pad), **settings)


def _max_pool(op: Pool, at: Site, x: str, outputs: int) -> tuple[str, ...]:
    if _is_global(op, at) and outputs == 1:
        return (at("GlobalMaxPool", x),)
    settings = {"kernel_shape": op.kernel, "strides": op.stride, **_border(op, at)}
    return at.several("MaxPool", x, outputs=outputs, dilations=_dilation(op), **settings)


def _is_global(op: Pool, at: Site) -> bool:
    return op.kernel == at.types[0].shape[1:] and not any(op.padding) and set(op.dilation) == {1}


def _dilation(op: Pool) -> tuple[int, ...] | None:
    return None if set(op.dilation) == {1} else op.dilation


def _border(op: Pool, at: Site) -> dict[str, object]:
    """Padding and rounding.

    A window that rounding up would add, but which starts in the padding, is dropped by us and PyTorch. Opset 21 keeps
    it; so where one is dropped, nothing is rounded, and the windows that stay get the padding that they hang over.
    """
    hangs, rank = _hangs(op, at), len(op.kernel)
    spatial, out = at.types[0].shape[1:], at.results[0].shape[1:]
    kept = all(
        -(-(length + op.padding[i] + op.padding[rank + i] - _extent(op, i)) // op.stride[i]) + 1 == out[i]
        for i, length in enumerate(spatial)
    )
    if kept or not any(hangs):
        return {"pads": op.padding, "ceil_mode": int(op.ceil and kept)}
    ends = [end + hang for end, hang in zip(op.padding[rank:], hangs, strict=True)]
    return {"pads": (*op.padding[:rank], *ends), "ceil_mode": 0}


def _hangs(op: Pool, at: Site) -> list[int]:
    """How far the last window on each axis hangs over the padded map."""
    rank = len(op.kernel)
    spatial, out = at.types[0].shape[1:], at.results[0].shape[1:]
    return [
        max((out[i] - 1) * op.stride[i] + _extent(op, i) - (length + op.padding[i] + op.padding[rank + i]), 0)
        for i, length in enumerate(spatial)
    ]


def _extent(op: Pool, axis: int) -> int:
    return window.extent(op.kernel[axis], op.dilation[axis])


def _average_over_the_end(op: Pool, at: Site, x: str) -> str:
    """An average that counts padding but not what its last window finds behind it, of which runtimes differ.

    The border is written out with zeros, and what each window counts put right by a constant plane.
    """
    rank, spatial, out = len(op.kernel), at.types[0].shape[1:], at.results[0].shape[1:]
    counted = np.ones((1, *out))
    for axis, (length, k, s, d) in enumerate(zip(spatial, op.kernel, op.stride, op.dilation, strict=True)):
        end = length + op.padding[axis] + op.padding[rank + axis]
        counts = [sum(i * s + j * d < end for j in range(k)) for i in range(out[axis])]
        counted = counted * (k / np.array(counts)).reshape(-1, *[1] * (rank - axis - 1))
    ends = [end + hang for end, hang in zip(op.padding[rank:], _hangs(op, at), strict=True)]
    padded = at("Pad", x, at.ints("pads", (0, 0, *op.padding[:rank], 0, 0, *ends)), at.reals("zero", 0))
    average = at("AveragePool", padded, kernel_shape=op.kernel, strides=op.stride, dilations=_dilation(op))
    return at("Mul", average, at.reals("counted", counted))


def adaptive_pool(op: AdaptivePool, at: Site, x: str) -> str:
    """One axis after the other: an average is a product with a matrix, a maximum is one over gathered windows."""
    for axis, (length, n) in enumerate(zip(at.types[0].shape[1:], op.size, strict=True), 2):
        windows = [range(i * length // n, -(-(i + 1) * length // n)) for i in range(n)]
        if op.function == "avg":
            matrix = np.zeros((length, n))
            for column, places in enumerate(windows):
                matrix[places, column] = 1 / len(places)
            last = axis == at.rank - 1
            order = [*range(axis), *range(axis + 1, at.rank), axis]
            moved = x if last else at("Transpose", x, perm=order)
            product = at("MatMul", moved, at.reals("windows", matrix))
            x = product if last else at("Transpose", product, perm=[order.index(i) for i in range(at.rank)])
        else:
            most = max(map(len, windows))
            table = at.ints("windows", [min(row[0] + place, row[-1]) for row in windows for place in range(most)])
            shape = [*(at.types[0].shape[0], *op.size)[: axis - 1], n, most, *at.types[0].shape[axis:]]
            gathered = at.reshape(at("Gather", x, table, axis=axis), *shape)
            kind = "ReduceMax" if op.function == "max" else "ReduceMin"
            x = at(kind, gathered, at.ints("axis", [axis + 1]), keepdims=0)
    return x


def unpool(op: Unpool, at: Site, x: str, places: str) -> str:
    """ScatterElements into planes of zeros. (MaxUnpool counts places through all samples, ours are within a plane.)"""
    channels, inside, outside = at.types[0].shape[0], prod(at.types[0].shape[1:]), prod(op.to)
    rows = at("Shape", x, start=0, end=1)
    shape = at("Concat", rows, at.ints("planes", (channels, outside)), axis=0)
    zeros = at("Expand", at.reals("zero", np.zeros((1, 1, 1))), shape)
    flat, places = at.reshape(x, channels, inside), at.reshape(places, channels, inside)
    return at.reshape(at("ScatterElements", zeros, places, flat, axis=2), channels, *op.to)


def batch_norm(op: BatchNorm, at: Site, x: str, *weights: str) -> str:
    """BatchNormalization; ONNX always has a scale and a shift."""
    *affine, mean, variance = weights
    scale, shift = affine or _neutral(at, at.types[0].shape[0])
    return at("BatchNormalization", x, scale, shift, mean, variance, epsilon=op.eps)


def batch_norm_scale(op: BatchNormScale, at: Site, gamma: str, variance: str) -> str:
    """gamma / sqrt(var + eps)."""
    return at("Div", gamma, at("Sqrt", at("Add", variance, at.reals("eps", op.eps))))


def lrn(op: LRN, at: Site, x: str) -> str:
    """LRN, where it is defined alike: over an odd number of channels of a map. Else its formula."""
    if op.size % 2 and at.rank == 4:
        return at("LRN", x, size=op.size, alpha=op.alpha, beta=op.beta, bias=op.offset)
    channels, *spatial = at.types[0].shape
    planes = at.reshape(at("Mul", x, x), 1, channels, prod(spatial))
    pads = (op.size // 2, 0, (op.size - 1) // 2, 0)
    mean = at("AveragePool", planes, kernel_shape=(op.size, 1), pads=pads, count_include_pad=1)
    weighted = at("Mul", at.reshape(mean, channels, *spatial), at.reals("alpha", op.alpha))
    base = at("Add", weighted, at.reals("offset", op.offset))
    return at("Div", x, at("Pow", base, at.reals("beta", op.beta)))


def layer_norm(op: LayerNorm, at: Site, x: str, *weights: str) -> str:
    """LayerNormalization over the last axis, to which another is moved."""
    scale, shift = weights or _neutral(at, at.types[0].shape[op.axis])
    axis, last = op.axis + 1, at.rank - 1
    order = [*range(axis), *range(axis + 1, at.rank), axis]
    moved = x if axis == last else at("Transpose", x, perm=order)
    y = at("LayerNormalization", moved, scale, shift, axis=-1, epsilon=op.eps)
    return y if axis == last else at("Transpose", y, perm=[order.index(i) for i in range(at.rank)])


def group_norm(op: GroupNorm, at: Site, x: str, *weights: str) -> str:
    """InstanceNormalization of the groups as channels, then scale and shift of the channels themselves.

    ONNX defines GroupNormalization by E[x^2] - E[x]^2, which loses digits.
    """
    channels, *spatial = at.types[0].shape
    if op.groups == channels and spatial:
        return at("InstanceNormalization", x, *(weights or _neutral(at, channels)), epsilon=op.eps)
    groups = at.reshape(x, op.groups, channels // op.groups * prod(spatial))
    standard = at("InstanceNormalization", groups, *_neutral(at, op.groups), epsilon=op.eps)
    y = at.reshape(standard, channels, *spatial)
    if not weights:
        return y
    scale, shift = (at.per_channel(weight, len(spatial)) for weight in weights)
    return at("Add", at("Mul", y, scale), shift)


def upsample(op: Upsample, at: Site, x: str) -> str:
    """Resize; nearest by no whole factor is a Gather, since runtimes round its places in float32."""
    spatial = at.types[0].shape[1:]
    whole = all(n % length == 0 for n, length in zip(op.to, spatial, strict=True))
    if op.mode == "nearest" and not whole:
        for axis, (length, n) in enumerate(zip(spatial, op.to, strict=True), 2):
            x = at("Gather", x, at.ints("places", [i * length // n for i in range(n)]), axis=axis)
        return x
    if op.mode == "nearest":
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        between = "align_corners" if op.corners else "half_pixel"
        how = {"mode": "linear", "coordinate_transformation_mode": between}
    if whole and not op.corners:
        factors = np.array([1, 1, *(n // length for n, length in zip(op.to, spatial, strict=True))], np.float32)
        return at("Resize", x, "", at.floats("scales", factors), **how)
    return at("Resize", x, "", "", at.ints("sizes", op.to), axes=range(2, at.rank), **how)


def _neutral(at: Site, channels: int) -> tuple[str, str]:
    return at.reals("ones", np.ones(channels)), at.reals("zeros", np.zeros(channels))
