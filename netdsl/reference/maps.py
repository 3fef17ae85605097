"""Feature maps made larger or smaller, and channels in another order."""

from __future__ import annotations

import numpy as np

from netdsl.ops import maps as ops
from netdsl.reference.windows import Array, last


def pad(op: ops.Pad, x: Array) -> Array:
    """More elements around the spatial axes: a value, the mirror image without its edge, or the edge repeated."""
    rank = len(op.padding) // 2
    widths = [(0, 0)] * (x.ndim - rank) + list(zip(op.padding[:rank], op.padding[rank:], strict=True))
    if op.mode == "constant":
        return np.pad(x, widths, constant_values=op.value)
    return np.pad(x, widths, mode="reflect" if op.mode == "reflect" else "edge")


def crop(op: ops.Crop, x: Array, like: Array | None = None) -> Array:
    """The spatial axes without `padding` elements at their starts and ends; `like` only gave its extents."""
    rank = len(op.padding) // 2
    ends = [length - cut for length, cut in zip(x.shape[2:], op.padding[rank:], strict=True)]
    return x[last(map(slice, op.padding[:rank], ends))]


def upsample(op: ops.Upsample, x: Array) -> Array:
    """Finer feature maps, one spatial axis after the other.

    nearest: position i of n takes floor(i L / n) of L, exactly (PyTorch rounds L / n to float32 first, which at rare
    scales such as 41 moves a border by one). bilinear: between the two neighbours of (i + 1/2) L / n - 1/2, or with
    `corners` of i (L - 1) / (n - 1).
    """
    for axis, length in enumerate(op.to, 2):
        x = _nearest(x, axis, length) if op.mode == "nearest" else _linear(x, axis, length, op.corners)
    return x


def shuffle(op: ops.Shuffle, x: Array) -> Array:
    """Channel g * (C / groups) + c becomes channel c * groups + g."""
    return x.reshape(x.shape[0], op.groups, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)


def pixel_shuffle(op: ops.PixelShuffle, x: Array) -> Array:
    """`C*f*f x H x W -> C x H*f x W*f`: channel (c f + i) f + j goes to rows i, f + i, ... and columns j, f + j, ..."""
    rows, channels, height, width = x.shape
    f = op.factor
    parts = x.reshape(rows, channels // (f * f), f, f, height, width)
    return parts.transpose(0, 1, 4, 2, 5, 3).reshape(rows, channels // (f * f), height * f, width * f)


def _nearest(x: Array, axis: int, length: int) -> Array:
    return x.take(np.arange(length) * x.shape[axis] // length, axis)


def _linear(x: Array, axis: int, length: int, corners: bool) -> Array:
    extent = x.shape[axis]
    places = np.arange(length)
    if corners:
        source = places * (extent - 1) / max(length - 1, 1)
    else:
        source = np.maximum((places + 0.5) * extent / length - 0.5, 0)
    low = np.minimum(np.floor(source).astype(int), extent - 1)
    high = np.minimum(low + 1, extent - 1)
    share = (source - low).astype(x.dtype).reshape(-1, *[1] * (x.ndim - axis - 1))
    return x.take(low, axis) * (1 - share) + x.take(high, axis) * share
