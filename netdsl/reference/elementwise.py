"""Joins of equal places. A one-element operand and an extent of 1 are repeated."""

from __future__ import annotations

from functools import reduce

import numpy as np

from netdsl.ops import elementwise as ops
from netdsl.reference.windows import Array


def add(op: ops.Add, *operands: Array) -> Array:
    """a + b + ..."""
    return reduce(np.add, aligned(operands))


def mul(op: ops.Mul, *operands: Array) -> Array:
    """a * b * ..."""
    return reduce(np.multiply, aligned(operands))


def sub(op: ops.Sub, *operands: Array) -> Array:
    """a - b."""
    return reduce(np.subtract, aligned(operands))


def div(op: ops.Div, *operands: Array) -> Array:
    """a / (b + eps)."""
    a, b = aligned(operands)
    return a / (b + op.eps)


def maximum(op: ops.Maximum, *operands: Array) -> Array:
    """The larger of a, b, ..."""
    return reduce(np.maximum, aligned(operands))


def minimum(op: ops.Minimum, *operands: Array) -> Array:
    """The smaller of a, b, ..."""
    return reduce(np.minimum, aligned(operands))


def scale(op: ops.Scale, x: Array) -> Array:
    """factor * x."""
    return x * op.factor


def shift(op: ops.Shift, x: Array) -> Array:
    """x + amount."""
    return x + op.amount


def aligned(operands: tuple[Array, ...]) -> list[Array]:
    """The operands with equal numbers of axes: one of lower rank has one element and gets extents of 1."""
    rank = max(x.ndim for x in operands)
    return [x if x.ndim == rank else x.reshape(x.shape[0], *[1] * (rank - 1)) for x in operands]
