"""Recurrent layers, one step after another."""

from __future__ import annotations

import numpy as np

from netdsl.ops.recurrent import Gru, Lstm, Recurrence, Recurrent
from netdsl.reference.activation import logistic
from netdsl.reference.windows import Array


def layer(op: Recurrent, x: Array, *rest: Array) -> Array | tuple[Array, ...]:
    """The h of every step; with `state`, also what the last leaves. `rest`: the state before, then the weights."""
    *before, weight_ih, weight_hh, bias_ih, bias_hh = rest
    run = {Lstm: lstm_steps, Gru: gru_steps}[type(op)]
    results = run(x @ weight_ih.T + bias_ih, weight_hh, bias_hh, before, op.reverse)
    return results if op.state else results[0]


def recurrence(op: Recurrence, x: Array, weight: Array, bias: Array, *before: Array) -> Array | tuple[Array, ...]:
    """The same when the products of the input are made: of an LSTM, all h and the last c."""
    if op.cell == "gru":
        return gru_steps(x, weight[0], bias[0], list(before), op.reverse)[0]
    y, _, c = lstm_steps(x, weight[0], bias[0], list(before), op.reverse)
    return y, c


def lstm_steps(x: Array, weight: Array, bias: Array, before: list[Array], reverse: bool) -> tuple[Array, Array, Array]:
    """c = sigmoid(f) c + sigmoid(i) tanh(g); h = sigmoid(o) tanh(c)."""
    y, h = _begin(x, weight, before)
    c = np.broadcast_to(before[1], h.shape) if before else h
    for t in _order(x, reverse):
        i, f, g, o = np.split(x[:, t] + h @ weight.T + bias, 4, axis=1)
        c = logistic(f) * c + logistic(i) * np.tanh(g)
        y[:, t] = h = logistic(o) * np.tanh(c)
    return y, h, c


def gru_steps(x: Array, weight: Array, bias: Array, before: list[Array], reverse: bool) -> tuple[Array, Array]:
    """z = sigmoid(z + z'); h = (1 - z) tanh(n + sigmoid(r + r') n') + z h, primes from the h before."""
    y, h = _begin(x, weight, before)
    for t in _order(x, reverse):
        (r, z, n), (r_h, z_h, n_h) = np.split(x[:, t], 3, axis=1), np.split(h @ weight.T + bias, 3, axis=1)
        z = logistic(z + z_h)
        y[:, t] = h = (1 - z) * np.tanh(n + logistic(r + r_h) * n_h) + z * h
    return y, h


def _begin(x: Array, weight: Array, before: list[Array]) -> tuple[Array, Array]:
    rows, steps = max(len(array) for array in (x, *before)), x.shape[1]
    h = np.zeros((rows, weight.shape[1]), x.dtype)
    y = np.empty((rows, steps, weight.shape[1]), x.dtype)
    return y, np.broadcast_to(before[0], h.shape) if before else h


def _order(x: Array, reverse: bool) -> range:
    steps = x.shape[1]
    return range(steps - 1, -1, -1) if reverse else range(steps)
