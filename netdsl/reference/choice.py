"""Choosing: the largest elements, rows by their index, boxes that do not overlap."""

from __future__ import annotations

import numpy as np

from netdsl.ops.choice import Gather, Nms, TopK
from netdsl.reference.windows import Array


def top_k(op: TopK, x: Array) -> tuple[Array, Array]:
    """Sorted by falling value, of equal ones the first; before them all NaN."""
    axis = op.axis + 1
    order = np.argsort(-np.where(np.isnan(x), np.inf, x), axis, kind="stable")
    known = ~np.isnan(np.take_along_axis(x, order, axis))
    order = np.take_along_axis(order, np.argsort(known, axis, kind="stable"), axis)
    at = np.take(order, range(op.count), axis)
    return np.take_along_axis(x, at, axis), at.astype(np.int64)


def gather(op: Gather, x: Array, at: Array) -> Array:
    """One row after another."""
    count = max(len(x), len(at))
    y = np.zeros((count, at.shape[1], *x.shape[2:]), x.dtype)
    for n, k in np.ndindex(y.shape[:2]):
        row = at[n % len(at), k]
        if 0 <= row < x.shape[1]:
            y[n, k] = x[n % len(x), row]
    return y


def nms(op: Nms, boxes: Array, scores: Array) -> Array:
    """The best box that is left stays, and takes those with it that overlap it."""
    kept = np.full((len(scores), op.count), -1, np.int64)
    for n, row in enumerate(kept):
        mine = boxes[n % len(boxes)]
        left = [i for i in np.argsort(-scores[n], kind="stable") if scores[n, i] > op.least]
        for k in range(op.count):
            if not left:
                break
            row[k] = left[0]
            left = [i for i in left[1:] if not _overlap(mine[left[0]], mine[i], op.iou)]
    return kept


def _overlap(a: Array, b: Array, iou: float) -> bool:
    """Whether the intersection is more than so much of the union."""
    width, height = (max(min(a[i + 2], b[i + 2]) - max(a[i], b[i]), 0) for i in (0, 1))
    shared = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return bool(shared > iou * (areas[0] + areas[1] - shared))
