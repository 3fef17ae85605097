"""Which inputs are indices into a table, and how many rows it has."""

from __future__ import annotations

from netdsl.ir.graph import Graph, Value
from netdsl.ops.sequence import Embed
from netdsl.tensor import DType


def index_limits(graph: Graph) -> dict[str, int]:
    """For each input of whole numbers that reaches an `embed`: what its elements must be below.

    Layers on the way only move whole numbers. Where an input reaches several tables, the smallest one counts.
    """
    limits: dict[Value, int] = {}

    def bound(value: Value, limit: int) -> None:
        if value.type.dtype is DType.INT64:
            limits[value] = min(limit, limits.get(value, limit))

    for node in reversed(graph.nodes):
        if isinstance(node.op, Embed):
            bound(node.inputs[0], node.op.vocab)
        for output in node.outputs:
            if output in limits:
                for value in node.operands:
                    bound(value, limits[output])
    return {value.name: limits[value] for value in graph.inputs if value in limits}
