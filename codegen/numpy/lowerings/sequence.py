"""Sequences: rows of features, one for each place."""

from __future__ import annotations

from netdsl.codegen.numpy.calls import Call
from netdsl.codegen.numpy.storage import View, first
from netdsl.ir.graph import Node
from netdsl.ops.sequence import Embed


def embed(op: Embed, node: Node) -> Call:
    """Rows of the table as the file has it."""
    x, table = node.inputs
    return Call("embed", (first(x), View(table)), (first(node.outputs[0]),))
