"""Regions of feature maps, one after another."""

from __future__ import annotations

from itertools import product

import numpy as np

from netdsl.ops.regions import RegionOp, RoiAlign, RoiPool
from netdsl.reference.windows import Array


def roi_pool(op: RoiPool, x: Array, boxes: Array) -> Array:
    """The maximum of elements floor(i L / k) to ceil((i + 1) L / k) of each region, 0 where there is none."""
    y = _result(op, x, boxes)
    for n, r in np.ndindex(y.shape[:2]):
        left, top, right, bottom = (_rounded(corner * op.scale) for corner in boxes[n % len(boxes), r])
        for i, j in product(*map(range, op.kernel)):
            rows = _cell(i, op.kernel[0], top, bottom, x.shape[2])
            columns = _cell(j, op.kernel[1], left, right, x.shape[3])
            cell = x[n, :, rows, columns]
            y[n, r, :, i, j] = cell.max((1, 2)) if cell.size else 0
    return y


def roi_align(op: RoiAlign, x: Array, boxes: Array) -> Array:
    """The mean of the points of each cell."""
    y = _result(op, x, boxes)
    for n, r in np.ndindex(y.shape[:2]):
        left, top, right, bottom = boxes[n % len(boxes), r] * op.scale - 0.5 * op.aligned
        for i, j in product(*map(range, op.kernel)):
            rows = _points(op, i, op.kernel[0], top, bottom)
            columns = _points(op, j, op.kernel[1], left, right)
            y[n, r, :, i, j] = np.mean([_between(x[n], h, w) for h in rows for w in columns], 0)
    return y


def _result(op: RegionOp, x: Array, boxes: Array) -> Array:
    return np.empty((len(x), boxes.shape[1], x.shape[1], *op.kernel), x.dtype)


def _rounded(x: float) -> int:
    """The nearest whole number, a half away from 0."""
    return int(np.trunc(x + np.copysign(0.5, x)))


def _cell(i: int, count: int, start: int, end: int, length: int) -> slice:
    """The elements of cell i of a region, its ends counted, inside the map."""
    extent = max(end - start + 1, 1)
    first, beyond = start + i * extent // count, start - (-(i + 1) * extent // count)
    return slice(*np.clip((first, beyond), 0, length))


def _points(op: RoiAlign, i: int, count: int, start: float, end: float) -> Array:
    """Coordinates of the points of cell i along one axis."""
    extent = end - start if op.aligned else max(end - start, 1)
    return start + (i + (np.arange(op.points) + 0.5) / op.points) * (extent / count)


def _between(x: Array, h: float, w: float) -> Array:
    """A map between its elements: its border reaches one element further, then it is 0."""
    height, width = x.shape[1:]
    if not (-1 <= h <= height and -1 <= w <= width):
        return np.zeros(len(x), x.dtype)
    h, w = min(max(h, 0), height - 1), min(max(w, 0), width - 1)
    top, left = int(h), int(w)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    v, u = h - top, w - left
    above = x[:, top, left] * (1 - u) + x[:, top, right] * u
    below = x[:, bottom, left] * (1 - u) + x[:, bottom, right] * u
    return above * (1 - v) + below * v
