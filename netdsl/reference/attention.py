"""Attention, written out: scores, softmax, sums of values, one head after the other."""

from __future__ import annotations

import numpy as np

from netdsl.ops import attention as ops
from netdsl.reference.windows import Array


def attention(op: ops.Attention, x: Array, *others: Array) -> Array:
    """Projections to q, k and v, attention, and one more projection. Memory and mask come before the weights."""
    # Weights are matrices and vectors; a memory has N in front of its axes.
    operands = [array for array in others if array.dtype == bool or array.ndim > 2]
    weights = others[len(operands) :]
    mask = operands.pop() if operands and operands[-1].dtype == bool else None
    extents = x.shape[2:]
    x = _sequence(x)
    memory = _sequence(operands[0]) if operands else x
    into, into_bias, out, out_bias = _weights(op, weights)
    q, k, v = (
        source @ weight.T + bias for source, weight, bias in zip((x, memory, memory), into, into_bias, strict=True)
    )
    y = _heads(op, q, k, v, mask) @ out.T + out_bias
    return y.swapaxes(1, 2).reshape(len(y), -1, *extents) if len(extents) == 2 else y


def attend(op: ops.Attend, x: Array, *others: Array) -> Array:
    """Attention on q, k and v that lie beside each other."""
    mask = others[-1] if others and others[-1].dtype == bool else None
    if others and others[0].dtype != bool:
        q, (k, v) = x, np.split(others[0], 2, -1)
    else:
        q, k, v = np.split(x, 3, -1)
    return _heads(op, q, k, v, mask)


def _sequence(x: Array) -> Array:
    return x.reshape(*x.shape[:2], -1).swapaxes(1, 2) if x.ndim == 4 else x


def _weights(op: ops.Attention, weights: tuple[Array, ...]) -> tuple[list[Array], list[Array], Array, Array]:
    """Matrices and biases of q, k and v, then those of the result."""
    if op.bias:
        *matrices, bias, out, out_bias = weights
    else:
        *matrices, out = weights
        bias, out_bias = np.zeros(3 * len(out), out.dtype), np.zeros(len(out), out.dtype)
    into = matrices if len(matrices) == 3 else np.split(matrices[0], 3)
    return list(into), np.split(bias, 3), out, out_bias


def _heads(op: ops.Attention | ops.Attend, q: Array, k: Array, v: Array, mask: Array | None) -> Array:
    """softmax(s q k^T) v in each head; hidden scores are -inf, and a query with no other gets zeros."""
    width = q.shape[-1] // op.heads
    hidden = np.zeros((1, q.shape[1], k.shape[1]), bool)
    if op.causal:
        hidden = hidden | ~np.tri(q.shape[1], k.shape[1], dtype=bool)
    if mask is not None:
        hidden = hidden | (mask if mask.ndim == 3 else mask[:, None])
    results = []
    for head in range(op.heads):
        part = slice(head * width, (head + 1) * width)
        scores = q[..., part] @ k[..., part].swapaxes(1, 2)
        scores = scores / np.sqrt(width).astype(q.dtype) if op.scaled else scores
        scores = np.where(hidden, scores.dtype.type(-np.inf), scores)
        peak = scores.max(-1, keepdims=True)
        weights = np.exp(scores - np.where(peak == -np.inf, 0, peak))
        total = weights.sum(-1, keepdims=True)
        results.append(weights / np.where(total == 0, 1, total) @ v[..., part])
    return np.concatenate(results, -1)
