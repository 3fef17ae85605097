"""Normalisations, as they are at inference."""

from __future__ import annotations

import numpy as np

from netdsl.ops.norm import LRN, BatchNorm, BatchNormScale, GroupNorm, LayerNorm
from netdsl.reference.axes import per_channel
from netdsl.reference.windows import Array


def batch_norm(op: BatchNorm, x: Array, *weights: Array) -> Array:
    """weight * (x - running_mean) / sqrt(running_var + eps) + bias, for each channel."""
    *affine, mean, variance = [per_channel(w, x) for w in weights]
    return _affine((x - mean) / np.sqrt(variance + op.eps), affine)


def batch_norm_scale(op: BatchNormScale, gamma: Array, variance: Array) -> Array:
    """gamma / sqrt(var + eps): the factor that folding multiplies into weights."""
    return gamma / np.sqrt(variance + op.eps)


def layer_norm(op: LayerNorm, x: Array, *weights: Array) -> Array:
    """weight * (x - mean) / sqrt(var + eps) + bias, mean and variance along the axis."""
    axis = 1 + op.axis
    return _affine(_standardise(x, (axis,), op.eps), [per_channel(w, x, axis) for w in weights])


def group_norm(op: GroupNorm, x: Array, *weights: Array) -> Array:
    """weight * (x - mean) / sqrt(var + eps) + bias, mean and variance over each group of channels and all positions."""
    grouped = x.reshape(x.shape[0], op.groups, -1)
    return _affine(_standardise(grouped, (2,), op.eps).reshape(x.shape), [per_channel(w, x) for w in weights])


def lrn(op: LRN, x: Array) -> Array:
    """x / (offset + alpha / size * sum of squares over `size` neighbouring channels) ** beta."""
    before = op.size // 2
    after = (op.size - 1) // 2
    squares = np.pad(x * x, [(0, 0), (before, after)] + [(0, 0)] * (x.ndim - 2))
    channels = x.shape[1]
    total = sum(squares[:, i : i + channels] for i in range(op.size))
    return x / (op.offset + op.alpha / op.size * total) ** op.beta


def _standardise(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(axes, keepdims=True) + eps)


def _affine(x: Array, weights: list[Array]) -> Array:
    if not weights:
        return x
    weight, bias = weights
    return x * weight + bias
