"""Concatenation without copies: which values are stored inside the result that they are joined in.

The producers of a joined value write straight into their part of it (Huang et al. 2017, "Memory-efficient
implementation of DenseNets", arXiv:1707.06990, share such storage for training). Decided once, for every backend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from netdsl.analysis.liveness import LiveRange, live_ranges
from netdsl.ir.graph import Graph, Node, Value, users
from netdsl.ops.pieces import Concat
from netdsl.tensor import Layout, TensorType


class Slice(NamedTuple):
    """Where a value is stored: elements `start` and on of each row of `whole`.

    A row is one position: the last axis in storage, channels where maps are stored channels last. `whole` has a buffer
    of its own; a row's pitch is the extent of its last stored axis.
    """

    whole: Value
    start: int


Fits = Callable[[Value, Slice, Node, Sequence[Node]], bool]
"""Whether the node that makes a value can write it there, and those that read it can read it there."""


def joined_values(graph: Graph, fits: Fits) -> dict[Value, Slice]:
    """The values that are stored inside another one. Layouts must be final; `fits` says what a backend's kernels can.

    What holds of the result:

    - `Slice.whole` is the result of a `concat` along the last axis in storage, and is in no slice itself. A value and
      its whole agree in layout, element type and rows a sample. Inputs, weights and what the prelude makes have none.
    - Two slices of one whole share elements only if one value is part of the other: a concat in a concat, or the
      start of a list that grows (x1 = concat(x0, f0), x2 = concat(x1, f1), or concat(x0, f0), concat(x0, f0, f1)).
      Either way they hold the same numbers there, so who reads a value, and how often, does not matter.
    - A concat must still copy the operands that `left_to_copy` lists, and is nothing at all where there are none.
    - A whole is written part by part: its buffer is needed from the first step of any value in it to the last of any,
      which is what `storage_ranges` gives to the memory plan.

    The last concat that reads a value takes it, for of a list that grows it is the longest.
    """
    readers = users(graph)
    makers = {value: node for node in graph.nodes for value in node.outputs}
    slices: dict[Value, Slice] = {}

    def place(value: Value, wanted: Slice) -> None:
        if value in slices or value not in makers or not _alike(value.type, wanted.whole.type):
            return
        if fits(value, wanted, makers[value], readers.get(value, ())):
            slices[value] = wanted

    for node in reversed(graph.nodes):
        if not isinstance(node.op, Concat) or not _is_innermost(node.op.axis, node.outputs[0].type):
            continue
        (result,) = node.outputs
        first = slices.get(node.inputs[0])
        if first and result not in slices and all(slices.get(v) == at for v, at in _parts(node, first)):
            place(result, first)
            if result in slices:
                continue
        for value, wanted in _parts(node, slices.get(result, Slice(result, 0))):
            place(value, wanted)
    return slices


def joined_results(graph: Graph, slices: dict[Value, Slice]) -> set[Value]:
    """The results of the concats that at least one operand is stored in; the others are copied as ever."""
    made = {node: node.outputs[0] for node in graph.nodes if isinstance(node.op, Concat)}
    return {result for node, result in made.items() if len(left_to_copy(node, slices)) < len(node.inputs)}


def left_to_copy(node: Node, slices: dict[Value, Slice]) -> list[tuple[Value, int]]:
    """The operands of such a concat that are not where they belong, with their starts in its result."""
    (result,) = node.outputs
    at = slices.get(result, Slice(result, 0))
    return [(value, there.start - at.start) for value, there in _parts(node, at) if slices.get(value) != there]


def storage_ranges(graph: Graph, slices: dict[Value, Slice]) -> tuple[LiveRange, ...]:
    """`live_ranges` of what has storage of its own; a whole lives as long as any of its parts."""
    ranges: dict[Value, LiveRange] = {}
    for value, first, last in live_ranges(graph):
        whole = slices[value].whole if value in slices else value
        known = ranges.get(whole, LiveRange(whole, first, last))
        ranges[whole] = LiveRange(whole, min(known.first, first), max(known.last, last))
    return tuple(ranges.values())


def _parts(node: Node, at: Slice) -> list[tuple[Value, Slice]]:
    """The operands of a concat, each with its place if the result is stored at `at`."""
    assert isinstance(node.op, Concat)
    parts, start = [], at.start
    for value in node.inputs:
        parts.append((value, Slice(at.whole, start)))
        start += value.type.shape[node.op.axis]
    return parts


def _is_innermost(axis: int, type: TensorType) -> bool:
    """Whether an axis is the last one in storage."""
    return axis == (0 if type.layout is Layout.CHANNELS_LAST else type.rank - 1)


def _alike(value: TensorType, whole: TensorType) -> bool:
    """Whether rows of one type may be stored in rows of another."""
    return (value.layout, value.dtype, value.batch) == (whole.layout, whole.dtype, whole.batch) and value.batch > 0
