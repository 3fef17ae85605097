"""The same elements under other extents, or in another order of axes or of storage."""

from __future__ import annotations

from netdsl.ops import shape as ops
from netdsl.reference.windows import Array


def flatten(op: ops.Flatten, x: Array) -> Array:
    """All axes of a sample as one, the last running fastest."""
    return x.reshape(x.shape[0], -1)


def reshape(op: ops.Reshape, x: Array) -> Array:
    """The same elements in the same order under other extents."""
    return x.reshape(x.shape[0], *op.to)


def transpose(op: ops.Transpose, x: Array) -> Array:
    """Axis i of the result is axis order[i] of the operand."""
    return x.transpose(0, *(1 + axis for axis in op.order))


def tokens(op: ops.Tokens, x: Array) -> Array:
    """`C x H x W -> H*W x C`."""
    return x.reshape(*x.shape[:2], -1).swapaxes(1, 2)


def relayout(op: ops.Relayout, x: Array) -> Array:
    """x: only its order in memory would change."""
    return x
