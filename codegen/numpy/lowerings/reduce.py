"""Reductions over axes of a sample, whatever the order in memory."""

from __future__ import annotations

from netdsl.codegen.numpy.calls import Call
from netdsl.codegen.numpy.lowerings.pool import Axes
from netdsl.codegen.numpy.storage import first
from netdsl.ir.graph import Node
from netdsl.ops.reduce import Largest, Mean, Product, Smallest, Sum

FUNCTIONS = {Mean: "np.mean", Sum: "np.sum", Product: "np.prod", Largest: "np.max", Smallest: "np.min"}


def reduction(op: Mean | Sum | Product | Largest | Smallest, node: Node) -> Call:
    """NumPy's own reduction on a channels-first view."""
    x, out = node.inputs[0], node.outputs[0]
    axes = tuple(sorted(1 + axis % x.type.rank for axis in op.axis)) or tuple(range(1, x.type.rank + 1))
    return Call(FUNCTIONS[type(op)], (first(x),), (first(out),), Axes(axes, op.keep))
