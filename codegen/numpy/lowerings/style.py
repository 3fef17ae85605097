"""FIR filters."""

from __future__ import annotations

from dataclasses import dataclass

from netdsl.codegen.numpy.calls import Call
from netdsl.codegen.numpy.storage import last
from netdsl.ir.graph import Node
from netdsl.ops.style import Blur


@dataclass(frozen=True)
class Filter:
    """Factors, padding of the spatial axes as starts then ends, and what the neighbours along an axis are times."""

    up: int
    stride: int
    padding: tuple[int, ...]
    coefficients: tuple[float, ...]


def blur(op: Blur, node: Node) -> Call:
    """Along one axis after the other."""
    spec = Filter(op.up, op.down, op.padding, op.coefficients)
    return Call("blur", (last(node.inputs[0]),), (last(node.outputs[0]),), spec)
