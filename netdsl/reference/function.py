"""Elementary functions, powers, comparisons and choice, element by element."""

from __future__ import annotations

from collections.abc import Callable
from math import erf

import numpy as np

from netdsl.ops import function as ops
from netdsl.reference.elementwise import aligned
from netdsl.reference.windows import Array

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    **{name: getattr(np, name) for name in ("sin", "cos", "floor", "ceil", "trunc", "sign")},
    "atan": np.arctan,
    "erf": np.vectorize(erf, otypes=[np.float64]),
    "round": np.rint,
}

RELATIONS: dict[str, Callable[[Array, Array], Array]] = {
    "equal": np.equal,
    "unequal": np.not_equal,
    "less": np.less,
    "atmost": np.less_equal,
    "greater": np.greater,
    "atleast": np.greater_equal,
}


def apply(op: ops.Apply, x: Array) -> Array:
    """f(x)."""
    return FUNCTIONS[op.function](x).astype(x.dtype)


def power(op: ops.Power, *operands: Array) -> Array:
    """a ** b."""
    a, b = aligned(operands)
    return np.power(a, b)


def compare(op: ops.Compare, *operands: Array) -> Array:
    """1 where the relation holds, else 0."""
    a, b = aligned(operands)
    return RELATIONS[op.relation](a, b).astype(a.dtype)


def select(op: ops.Select, *operands: Array) -> Array:
    """a where the mask is not 0, else b."""
    mask, a, b = aligned(operands)
    return np.where(mask != 0, a, b)
