"""When each value is needed, and how much memory that takes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple

from netdsl.ir.graph import Graph, Value
from netdsl.tensor import DType, TensorType


class LiveRange(NamedTuple):
    """A value and the steps, `first` to `last` inclusive, in which it is in memory. Step i runs `graph.nodes[i]`."""

    value: Value
    first: int
    last: int


def live_ranges(graph: Graph) -> tuple[LiveRange, ...]:
    """The ranges of inputs and activations, in order of definition.

    A value lives from the step that makes it to the last that reads it: at a step, its operands and its results live
    together. Inputs live from step 0; results of the graph live to the last step; a value that nobody reads lives for
    the step that makes it. Weights and what the prelude makes are no activations. Every value is a tensor of its own,
    views (flatten, reshape, slice, dropout) too: whether they share memory is a matter of the backend.
    """
    end = max(len(graph.nodes) - 1, 0)
    first = dict.fromkeys(graph.inputs, 0)
    last = dict(first)
    for step, node in enumerate(graph.nodes):
        for value in node.inputs:
            if value in first:
                last[value] = step
        for value in node.outputs:
            first[value] = last[value] = step
    for value in graph.outputs:
        if value in first:
            last[value] = end
    return tuple(LiveRange(value, first[value], last[value]) for value in first)


def activation_bytes(type: TensorType, dtype: DType = DType.FLOAT32, batch: int = 1) -> int:
    """Bytes of a value for `batch` samples when real numbers are stored as `dtype`."""
    element = dtype.size if type.dtype.is_float else type.dtype.size
    return type.size * element * (type.batch * batch if type.batch else 1)


def live_bytes(intervals: Iterable[tuple[int, int, int]]) -> list[int]:
    """Bytes in memory at each step, from (bytes, first, last)."""
    change: dict[int, int] = {}
    for size, first, last in intervals:
        change[first] = change.get(first, 0) + size
        change[last + 1] = change.get(last + 1, 0) - size
    end = max(change, default=0)
    return list(accumulate(change.get(step, 0) for step in range(end)))


def peak_activation_bytes(graph: Graph, dtype: DType = DType.FLOAT32, batch: int = 1) -> int:
    """Most bytes of activations that live at one step, by the rule of `live_ranges`."""
    return max(live_bytes((activation_bytes(v.type, dtype, batch), a, b) for v, a, b in live_ranges(graph)), default=0)
