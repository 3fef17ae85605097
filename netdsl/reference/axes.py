"""From the axes of a sample, which operators name, to the axes of an array, which has the rows in front."""

from __future__ import annotations

from netdsl.reference.windows import Array


def per_channel(weight: Array, x: Array, axis: int = 1) -> Array:
    """A vector of weights, shaped to join `x` along one of its axes."""
    shape = [1] * x.ndim
    shape[axis] = weight.size
    return weight.reshape(shape)
