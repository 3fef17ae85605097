"""Noise of training, which inference leaves out."""

from __future__ import annotations

from netdsl.ops.noise import Dropout, DropPath
from netdsl.reference.windows import Array


def identity(op: Dropout | DropPath, x: Array) -> Array:
    """x."""
    return x
