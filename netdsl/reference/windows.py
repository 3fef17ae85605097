"""Sliding windows, one kernel position at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Ints = tuple[int, ...]


def pad_spatial(x: Array, padding: Ints, value: float = 0.0) -> Array:
    """`N x C x H x W` padded by starts then ends (`top, left, bottom, right`)."""
    rank = x.ndim - 2
    return np.pad(x, [(0, 0), (0, 0), *zip(padding[:rank], padding[rank:], strict=True)], constant_values=value)


def last(places: Iterable[int | slice]) -> Any:
    """An index of the last axes: `x[last(k)]` is `x[..., k[0], k[1]]`."""
    return (..., *places)


def taps(x: Array, kernel: Ints, stride: Ints, dilation: Ints, out: Ints) -> Iterator[tuple[Ints, Array]]:
    """For each kernel position k, the elements `x[..., q * stride + k * dilation]` for all output positions q."""
    for position in product(*map(range, kernel)):
        yield position, x[last(tap_slices(position, stride, dilation, out))]


def tap_slices(position: Ints, stride: Ints, dilation: Ints, out: Ints) -> tuple[slice, ...]:
    """The slices, one for each spatial axis, of `q * stride + position * dilation` for all output positions q."""
    return tuple(
        slice(k * d, k * d + (n - 1) * s + 1, s) for k, s, d, n in zip(position, stride, dilation, out, strict=True)
    )
