"""Matrix products."""

from __future__ import annotations

from netdsl.codegen.numpy.calls import Call
from netdsl.codegen.numpy.storage import View, first
from netdsl.ir.graph import Node
from netdsl.ops.linear import Fc, MatMul


def fc(op: Fc, node: Node) -> Call:
    """One product over all positions; the weight is used as the file has it."""
    x, weight = node.inputs[:2]
    return Call("linear", (first(x), View(weight)), (first(node.outputs[0]),), crew=True, tailed=True)


def matmul(op: MatMul, node: Node) -> Call:
    """A product a sample."""
    a, b = (first(value) for value in node.inputs)
    if op.transpose_a:
        a = a.then(".swapaxes(-1, -2)")
    if op.transpose_b:
        b = b.then(".swapaxes(-1, -2)")
    return Call("np.matmul", (a, b), (first(node.outputs[0]),))
