"""Convolution and transposed convolution: one matrix product for each kernel position."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np

from netdsl.ops import window
from netdsl.ops.conv import Conv, UpConv
from netdsl.reference.windows import Array, last, pad_spatial, tap_slices, taps


def conv(op: Conv, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """y[n, o, q] = bias[o] + sum over c, k of weight[o, c, k] * x[n, c, q * stride + k * dilation - padding]."""
    rows, channels, *spatial = x.shape
    out = window.spatial_outputs(tuple(spatial), op.kernel, op.stride, op.padding, op.dilation)
    filters = weight.reshape(op.groups, op.out // op.groups, channels // op.groups, *op.kernel)
    y = np.zeros((rows, op.groups, op.out // op.groups, prod(out)), x.dtype)
    for k, seen in taps(pad_spatial(x, op.padding), op.kernel, op.stride, op.dilation, out):
        y += filters[last(k)] @ seen.reshape(rows, op.groups, channels // op.groups, prod(out))
    return _with_bias(y.reshape(rows, op.out, *out), bias)


def upconv(op: UpConv, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """y[n, o, q * stride + k * dilation - padding] gathers weight[c, o, k] * x[n, c, q]: the transpose of `conv`."""
    rows, channels, *spatial = x.shape
    rank = len(spatial)
    reach = [
        (n - 1) * s + window.extent(k, d) + more
        for n, s, k, d, more in zip(spatial, op.stride, op.kernel, op.dilation, op.outpad, strict=True)
    ]
    filters = weight.reshape(op.groups, channels // op.groups, op.out // op.groups, *op.kernel)
    columns = x.reshape(rows, op.groups, channels // op.groups, prod(spatial))
    y = np.zeros((rows, op.out, *reach), x.dtype)
    for k in product(*map(range, op.kernel)):
        spread = filters[last(k)].swapaxes(1, 2) @ columns
        y[last(tap_slices(k, op.stride, op.dilation, tuple(spatial)))] += spread.reshape(rows, op.out, *spatial)
    starts, ends = op.padding[:rank], op.padding[rank:]
    kept = tuple(slice(a, n - b) for a, b, n in zip(starts, ends, reach, strict=True))
    return _with_bias(y[last(kept)], bias)


def _with_bias(y: Array, bias: Array | None) -> Array:
    return y if bias is None else y + bias.reshape(-1, *[1] * (y.ndim - 2))
