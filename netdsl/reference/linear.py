"""Matrix products."""

from __future__ import annotations

from netdsl.ops.linear import Fc, MatMul
from netdsl.reference.windows import Array


def fc(op: Fc, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """y[..., o] = bias[o] + sum over c of weight[o, c] * x[..., c]."""
    y = x @ weight.T
    return y if bias is None else y + bias


def matmul(op: MatMul, a: Array, b: Array) -> Array:
    """A @ B on the last two axes, either of them transposed first if so asked."""
    a = a.swapaxes(-1, -2) if op.transpose_a else a
    b = b.swapaxes(-1, -2) if op.transpose_b else b
    return a @ b
