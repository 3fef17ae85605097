"""A leading axis as rows of the batch, and back."""

from __future__ import annotations

from netdsl.ops.each import Each, Regroup
from netdsl.reference.windows import Array


def each(op: Each, x: Array) -> Array:
    """`N x r x S -> N*r x S`."""
    return x.reshape(-1, *x.shape[2:])


def regroup(op: Regroup, x: Array) -> Array:
    """`N*r x S -> N x r x S`."""
    return x.reshape(-1, op.count, *x.shape[1:])
