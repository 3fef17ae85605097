"""Attention as ONNX: matrix products and a softmax, all heads at once."""

from __future__ import annotations

from math import prod, sqrt

import numpy as np

from netdsl.onnx.write.site import Site
from netdsl.ops.attention import Attend, Attention, parts


def attention(op: Attention, at: Site, x: str, *others: str) -> str:
    """Projections to q, k and v, attention, and one more projection; a map is the sequence of its positions."""
    count = len(at.types) - 1
    operands, weights = list(others[:count]), list(others[count:])
    types, hidden = parts(at.types)
    mask = operands.pop() if hidden else None
    channels, *extents = types[0].shape
    is_map = len(extents) == 2
    x = _sequence(at, x, 0)
    memory = _sequence(at, operands[0], 1) if operands else x
    out_bias = weights.pop() if op.bias else None
    out = weights.pop()
    biases = at.several("Split", weights.pop(), outputs=3, axis=0, num_outputs=3) if op.bias else [None] * 3
    into = weights if len(weights) == 3 else at.several("Split", weights[0], outputs=3, axis=0, num_outputs=3)
    q, k, v = (
        _projected(at, source, weight, bias)
        for source, weight, bias in zip((x, memory, memory), into, biases, strict=True)
    )
    y = _projected(at, _heads(op, at, q, k, v, mask), out, out_bias)
    return at.reshape(at("Transpose", y, perm=(0, 2, 1)), channels, *extents) if is_map else y


def attend(op: Attend, at: Site, x: str, *others: str) -> str:
    """Attention on q, k and v that lie beside each other."""
    types, hidden = parts(at.types)
    mask = others[-1] if hidden else None
    if len(types) == 1:
        q, k, v = at.several("Split", x, outputs=3, axis=2, num_outputs=3)
    else:
        q, (k, v) = x, at.several("Split", others[0], outputs=2, axis=2, num_outputs=2)
    return _heads(op, at, q, k, v, mask)


def _sequence(at: Site, x: str, index: int) -> str:
    channels, *extents = at.types[index].shape
    return at("Transpose", at.reshape(x, channels, prod(extents)), perm=(0, 2, 1)) if len(extents) == 2 else x


def _projected(at: Site, x: str, weight: str, bias: str | None) -> str:
    y = at("MatMul", x, at("Transpose", weight, perm=(1, 0)))
    return at("Add", y, bias) if bias else y


def _heads(op: Attention | Attend, at: Site, q: str, k: str, v: str, mask: str | None) -> str:
    """softmax(s q k^T) v in each head; a query that sees nothing gets zeros."""
    types, mask_type = parts(at.types)
    queries, keys = (_length(type.shape) for type in (types[0], types[-1]))
    width = at.results[0].shape[0 if len(at.results[0].shape) == 3 else 1]
    depth = width // op.heads
    q, v = (at("Transpose", at.reshape(x, n, op.heads, depth), perm=(0, 2, 1, 3)) for x, n in ((q, queries), (v, keys)))
    k = at("Transpose", at.reshape(k, keys, op.heads, depth), perm=(0, 2, 3, 1))
    if op.scaled:
        q = at("Mul", q, at.reals("scale", 1 / sqrt(depth)))
    scores = at("MatMul", q, k)
    hidden = at.truths("later", ~np.tri(queries, keys, dtype=bool)) if op.causal else None
    if mask and mask_type:
        shown = at.reshape(mask, *[1] * (3 - mask_type.rank), *mask_type.shape)
        hidden = at("Or", shown, hidden) if hidden else shown
    if hidden:
        scores = at("Where", hidden, at.reals("lowest", np.finfo(at.element).min), scores)
    weights = at("Softmax", scores, axis=-1)
    if hidden and mask:  # where all is hidden, the softmax of equal numbers is not
        weights = at("Where", hidden, at.reals("none", 0), weights)
    return at.reshape(at("Transpose", at("MatMul", weights, v), perm=(0, 2, 1, 3)), queries, width)


def _length(shape: tuple[int, ...]) -> int:
    return prod(shape[1:]) if len(shape) == 3 else shape[0]
