"""Choosing: the largest elements, rows by their index, boxes that do not overlap."""

from __future__ import annotations

from dataclasses import dataclass

from netdsl.codegen.numpy.calls import Call
from netdsl.codegen.numpy.lowerings.norm import Axis
from netdsl.codegen.numpy.storage import first
from netdsl.ir.graph import Node
from netdsl.ops.choice import Gather, Nms, TopK


@dataclass(frozen=True)
class Bounds:
    """The overlap from which a box goes, and the score that it must be above."""

    iou: float
    least: float


def top_k(op: TopK, node: Node) -> Call:
    """Values and places."""
    values, places = node.outputs
    return Call("top_k", (first(node.inputs[0]),), (first(values), first(places)), Axis(op.axis + 1))


def gather(op: Gather, node: Node) -> Call:
    """Rows of each sample."""
    return Call("gather", tuple(map(first, node.inputs)), (first(node.outputs[0]),))


def nms(op: Nms, node: Node) -> Call:
    """One box after another."""
    return Call("nms", tuple(map(first, node.inputs)), (first(node.outputs[0]),), Bounds(op.iou, op.least))
