"""Along one axis: tensors one after the other, and parts of one."""

from __future__ import annotations

import numpy as np

from netdsl.ops import pieces as ops
from netdsl.reference.windows import Array


def concat(op: ops.Concat, *operands: Array) -> Array:
    """The operands one after the other along the axis."""
    rows = max(x.shape[0] for x in operands)
    return np.concatenate([np.broadcast_to(x, (rows, *x.shape[1:])) for x in operands], 1 + op.axis)


def split(op: ops.Split, x: Array) -> tuple[Array, ...]:
    """Pieces of `size` along the axis; the last may be smaller."""
    return tuple(np.split(x, range(op.size, x.shape[1 + op.axis], op.size), 1 + op.axis))


def slice_axis(op: ops.Slice, x: Array) -> Array:
    """Elements start, start + step, ... before stop along the axis."""
    return x.take(range(op.start, op.stop, op.step), 1 + op.axis)


def take(op: ops.Take, x: Array) -> Array:
    """One element along the axis, which goes."""
    return x.take(op.index, 1 + op.axis)
