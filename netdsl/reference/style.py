"""Style-based generators: modulated convolution and FIR filters."""

from __future__ import annotations

import numpy as np

from netdsl.ops.conv import Conv
from netdsl.ops.style import Blur, ModConv
from netdsl.reference.conv import conv, upconv
from netdsl.reference.windows import Array, last, pad_spatial
from netdsl.tensor import TensorType


def modconv(op: ModConv, x: Array, style: Array, weight: Array) -> Array:
    """For every sample, a convolution with w' = s w, divided by sqrt(sum over c, k of w'[o, c, k]**2 + eps)."""
    layer = op.layer.resolve((TensorType(x.shape[1:]),))
    rows = max(len(x), len(style))
    x, style = (np.broadcast_to(array, (rows, *array.shape[1:])) for array in (x, style))
    results = []
    for sample, s in zip(x, style, strict=True):
        filters = weight * s.reshape(-1, *[1] * (weight.ndim - 2))
        if op.demodulate:
            filters = filters / np.sqrt((filters**2).sum(tuple(range(1, weight.ndim)), keepdims=True) + op.eps)
        if isinstance(layer, Conv):
            results.append(conv(layer, sample[None], filters))
        else:
            results.append(upconv(layer, sample[None], filters.swapaxes(0, 1)))
    return np.concatenate(results)


def blur(op: Blur, x: Array) -> Array:
    """One axis after the other: zeros between the elements and around them, a sum over the taps, every s-th of it."""
    spread = np.zeros((*x.shape[:2], *(op.up * n for n in x.shape[2:])), x.dtype)
    spread[last([slice(None, None, op.up)] * (x.ndim - 2))] = x
    y = pad_spatial(spread, op.padding)
    for axis in range(2, x.ndim):
        length = y.shape[axis] - len(op.taps) + 1
        shifted = [y.take(range(k, k + length), axis) * c for k, c in enumerate(op.coefficients)]
        y = np.sum(shifted, axis=0).take(range(0, length, op.down), axis)
    return y
