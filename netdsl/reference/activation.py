"""Functions of single elements, and softmax."""

from __future__ import annotations

from math import erf, pi, sqrt

import numpy as np

from netdsl.ops import activation as ops
from netdsl.reference.axes import per_channel
from netdsl.reference.windows import Array


def relu(op: ops.Relu, x: Array) -> Array:
    """max(x, 0)."""
    return np.maximum(x, 0)


def relu6(op: ops.Relu6, x: Array) -> Array:
    """min(max(x, 0), 6)."""
    return np.clip(x, 0, 6)


def leaky_relu(op: ops.LeakyRelu, x: Array) -> Array:
    """x where positive, else slope * x."""
    return np.where(x > 0, x, op.slope * x)


def prelu(op: ops.PRelu, x: Array, weight: Array) -> Array:
    """x where positive, else weight[channel] * x."""
    return np.where(x > 0, x, per_channel(weight, x) * x)


def elu(op: ops.Elu, x: Array) -> Array:
    """x where positive, else alpha * (exp(x) - 1)."""
    return np.where(x > 0, x, op.alpha * np.expm1(np.minimum(x, 0)))


def selu(op: ops.Selu, x: Array) -> Array:
    """scale * elu(x), with the two constants of Klambauer et al. 2017 (arXiv:1706.02515)."""
    alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def gelu(op: ops.Gelu, x: Array) -> Array:
    """x * Phi(x), Phi the normal distribution function; `tanh` is its approximation."""
    if op.tanh:
        return 0.5 * x * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + np.vectorize(erf, otypes=[float])(x / sqrt(2)).astype(x.dtype))


def silu(op: ops.Silu, x: Array) -> Array:
    """x * sigmoid(x)."""
    return x * logistic(x)


def hardsigmoid(op: ops.HardSigmoid, x: Array) -> Array:
    """min(max(x + 3, 0), 6) / 6."""
    return np.clip(x + 3, 0, 6) / 6


def hardswish(op: ops.HardSwish, x: Array) -> Array:
    """x * hardsigmoid(x)."""
    return x * np.clip(x + 3, 0, 6) / 6


def sigmoid(op: ops.Sigmoid, x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return logistic(x)


def tanh(op: ops.Tanh, x: Array) -> Array:
    """tanh(x)."""
    return np.tanh(x)


def softplus(op: ops.Softplus, x: Array) -> Array:
    """log(1 + exp(x)); x itself above 20, as in PyTorch."""
    return np.where(x > 20, x, np.log1p(np.exp(np.minimum(x, 20))))


def absolute(op: ops.Abs, x: Array) -> Array:
    """|x|."""
    return np.abs(x)


def exp(op: ops.Exp, x: Array) -> Array:
    """e to the x."""
    return np.exp(x)


def log(op: ops.Log, x: Array) -> Array:
    """Natural logarithm."""
    return np.log(x)


def square_root(op: ops.Sqrt, x: Array) -> Array:
    """Square root."""
    return np.sqrt(x)


def clamp(op: ops.Clamp, x: Array) -> Array:
    """min(max(x, low), high)."""
    return np.clip(x, op.low, op.high)


def softmax(op: ops.Softmax, x: Array) -> Array:
    """exp(x) / sum of exp(x) along the axis."""
    axis = 1 + op.axis
    z = np.exp(x - x.max(axis, keepdims=True))  # the same quotient, and nothing overflows
    return z / z.sum(axis, keepdims=True)


def log_softmax(op: ops.LogSoftmax, x: Array) -> Array:
    """x - log(sum of exp(x)) along the axis."""
    axis = 1 + op.axis
    below = x - x.max(axis, keepdims=True)
    return below - np.log(np.exp(below).sum(axis, keepdims=True))


def logistic(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    z = np.exp(-np.abs(x))  # at most 1, so that nothing overflows
    return np.where(x >= 0, 1, z) / (1 + z)
