"""Regions of feature maps."""

from __future__ import annotations

from dataclasses import dataclass

from netdsl.codegen.numpy.calls import Call
from netdsl.codegen.numpy.storage import first, last
from netdsl.ir.graph import Node
from netdsl.ops.regions import RoiAlign, RoiPool


@dataclass(frozen=True)
class Scale:
    """Elements of the map for one unit of the boxes."""

    scale: float


@dataclass(frozen=True)
class Points:
    """The scale, points along each axis of a cell, and whether boxes are shifted by half an element."""

    scale: float
    points: int
    aligned: bool


def roi_pool(op: RoiPool, node: Node) -> Call:
    """Cell by cell."""
    x, boxes = node.inputs
    return Call("roi_pool", (last(x), first(boxes)), (first(node.outputs[0]),), Scale(op.scale))


def roi_align(op: RoiAlign, node: Node) -> Call:
    """Two matrix products for each region."""
    x, boxes = node.inputs
    spec = Points(op.scale, op.points, op.aligned)
    return Call("roi_align", (last(x), first(boxes)), (first(node.outputs[0]),), spec)
