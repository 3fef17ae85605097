"""Pooling, one kernel position at a time, and what undoes it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod

import numpy as np

from netdsl.ops import window
from netdsl.ops.pool import AdaptivePool, Pool, Unpool
from netdsl.reference.windows import Array, last, pad_spatial, taps


def pool(op: Pool, x: Array) -> Array | tuple[Array, Array]:
    """The maximum, minimum or mean of each window. Padding is never the maximum or minimum."""
    if op.function == "avg":
        return _average(op, x)
    sign = 1 if op.function == "max" else -1
    windows = _windows(op, sign * x, -np.inf, -np.inf)
    best = windows.max(0)
    if not op.indices:
        return sign * best
    places = _windows(op, np.arange(prod(x.shape[2:])).reshape(1, 1, *x.shape[2:]), -1, -1)
    first = ((windows >= best) & (places >= 0)).argmax(0)
    last_nan = len(windows) - 1 - np.isnan(windows[::-1]).argmax(0)
    chosen = np.where(np.isnan(best), last_nan, first)  # of equal ones the first, of NaN the last, as in PyTorch
    at = np.take_along_axis(np.broadcast_to(places, windows.shape), chosen[None], 0)[0]
    return sign * best, at.astype(np.int64)


def adaptive_pool(op: AdaptivePool, x: Array) -> Array:
    """Window i of n along an extent L covers floor(i L / n) to ceil((i + 1) L / n), as in PyTorch."""
    functions: dict[str, Callable[..., Array]] = {"max": np.max, "min": np.min, "avg": np.mean}
    function = functions[op.function]
    y = np.empty((*x.shape[:2], *op.size), x.dtype)
    for place in product(*map(range, op.size)):
        cut = tuple(
            slice(i * extent // n, -(-(i + 1) * extent // n))
            for i, n, extent in zip(place, op.size, x.shape[2:], strict=True)
        )
        y[last(place)] = function(x[last(cut)], axis=tuple(range(2, x.ndim)))
    return y


def unpool(op: Unpool, x: Array, indices: Array) -> Array:
    """Zeros, but each x at its index of the flattened plane."""
    y = np.zeros((*x.shape[:2], prod(op.to)), x.dtype)
    np.put_along_axis(y, indices.reshape(*x.shape[:2], -1), x.reshape(*x.shape[:2], -1), 2)
    return y.reshape(*x.shape[:2], *op.to)


def _windows(op: Pool, x: Array, margin: float, beyond: float) -> Array:
    """`K x N x C x H' x W'`: what each kernel position sees, `margin` in the padding and `beyond` behind it."""
    out = window.spatial_outputs(x.shape[2:], op.kernel, op.stride, op.padding, op.dilation, op.ceil)
    x = pad_spatial(x, op.padding, margin)
    x = pad_spatial(x, (*[0] * len(out), *op.stride), beyond)  # where `ceil` lets the last window hang over the end
    return np.stack([seen for _, seen in taps(x, op.kernel, op.stride, op.dilation, out)])


def _average(op: Pool, x: Array) -> Array:
    """Sum / count; padding counts unless `nocountpad`, what lies behind it never does."""
    inside = np.ones((1, 1, *x.shape[2:]), x.dtype)
    return _windows(op, x, 0, 0).sum(0) / _windows(op, inside, float(op.count_pad), 0).sum(0)
