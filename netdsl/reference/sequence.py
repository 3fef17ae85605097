"""Sequences: rows of features, one for each place."""

from __future__ import annotations

import numpy as np

from netdsl.ops import sequence as ops
from netdsl.reference.windows import Array


def embed(op: ops.Embed, x: Array, weight: Array) -> Array:
    """Row x of the table; NaN where there is none."""
    inside = (x >= 0) & (x < op.vocab)
    return np.where(inside[..., None], weight[np.where(inside, x, 0)], weight.dtype.type(np.nan))
