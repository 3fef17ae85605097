"""Reductions over axes of a sample."""

from __future__ import annotations

from netdsl.ops import reduce as ops
from netdsl.reference.windows import Array


def mean(op: ops.Mean, x: Array) -> Array:
    """The mean over the axes."""
    return x.mean(_axes(op), keepdims=op.keep)


def total(op: ops.Sum, x: Array) -> Array:
    """The sum over the axes."""
    return x.sum(_axes(op), keepdims=op.keep)


def product(op: ops.Product, x: Array) -> Array:
    """The product over the axes."""
    return x.prod(_axes(op), keepdims=op.keep)


def largest(op: ops.Largest, x: Array) -> Array:
    """The largest element over the axes."""
    return x.max(_axes(op), keepdims=op.keep)


def smallest(op: ops.Smallest, x: Array) -> Array:
    """The smallest element over the axes."""
    return x.min(_axes(op), keepdims=op.keep)


def _axes(op: ops.Reduce) -> tuple[int, ...]:
    return tuple(1 + axis for axis in op.axis)
