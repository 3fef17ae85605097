"""Sequences: rows of features, one for each place."""

from __future__ import annotations

import numpy as np

from netdsl.ops import sequence as ops
from netdsl.reference.windows import Array


def embed(op: ops.Embed, x: Array, weight: Array) -> Array:
    """Row x of the table; NaN where there is none."""
    inside = (x >= 0) & (x < op.vocab)
    return np.where(inside[..., None], weight[np.where(inside, x, 0)], weight.dtype.type(np.nan))


def position(op: ops.Position, x: Array) -> Array:
    """The encodings of x, or x and those of its rows."""
    if op.features:
        return _encoded(x, op.features, op.halves)
    places = np.arange(x.shape[1], dtype=np.float64)[:, None]
    return x + _encoded(places, x.shape[2], op.halves).astype(x.dtype)


def sine_table(op: ops.SineTable) -> Array:
    """The encodings of 0, 1, ...; with the leading axis of what is no sample's."""
    places = np.arange(op.length, dtype=np.float64)[:, None]
    return _encoded(places, op.features, op.halves)[None]


def _encoded(places: Array, features: int, halves: bool) -> Array:
    """sin(p f_i) and cos(p f_i): in pairs with f_i = 10000^(-2i / n); in halves with f_i = 10000^(-i / (n / 2 - 1))."""
    half = features // 2
    frequencies = 10000.0 ** (-np.arange(half) / (half - 1 if halves else half))
    angles = places * frequencies.astype(places.dtype)
    pair = np.stack([np.sin(angles), np.cos(angles)], -2 if halves else -1)
    return pair.reshape(*places.shape[:-1], features)
