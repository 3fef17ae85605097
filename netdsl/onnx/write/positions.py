"""Encodings of positions as ONNX: a table that is known, or sines and cosines of positions given."""

from __future__ import annotations

import numpy as np

from netdsl.onnx.write.site import Site
from netdsl.ops.sequence import Position, SineTable


def position(op: Position, at: Site, x: str) -> str:
    """x and the table of its rows; with `features=`, sines and cosines side by side, or one after the other."""
    if not op.features:
        length, features = at.types[0].shape
        return at("Add", x, at.reals("table", _table(length, features, op.halves)))
    angles = at("Mul", x, at.reals("frequencies", _frequencies(op.features, op.halves)))
    pair = at("Sin", angles), at("Cos", angles)
    if op.halves:
        return at("Concat", *pair, axis=-1)
    apart = (at("Unsqueeze", part, at.ints("last", [-1])) for part in pair)
    return at.reshape(at("Concat", *apart, axis=-1), *at.results[0].shape)


def sine_table(op: SineTable, at: Site) -> str:
    """The table itself."""
    return at("Identity", at.reals("table", _table(op.length, op.features, op.halves)))


def _table(length: int, features: int, halves: bool) -> np.ndarray:
    angles = np.arange(length)[:, None] * _frequencies(features, halves)
    return np.stack([np.sin(angles), np.cos(angles)], 1 if halves else 2).reshape(length, features)


def _frequencies(features: int, halves: bool) -> np.ndarray:
    """f_i of `position`."""
    half = features // 2
    return np.asarray(10000.0 ** (-np.arange(half) / (half - 1 if halves else half)))
