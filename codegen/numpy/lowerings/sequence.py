"""Sequences: rows of features, one for each place."""

from __future__ import annotations

from dataclasses import dataclass

from netdsl.codegen.numpy.calls import Call, Name
from netdsl.codegen.numpy.storage import View, first
from netdsl.ir.graph import Node
from netdsl.ops.sequence import Embed, Position, SineTable


@dataclass(frozen=True)
class Order:
    """Whether all sines come before all cosines."""

    halves: bool


def embed(op: Embed, node: Node) -> Call:
    """Rows of the table as the file has it."""
    x, table = node.inputs
    return Call("embed", (first(x), View(table)), (first(node.outputs[0]),))


def position(op: Position, node: Node) -> Call:
    """Encodings of positions that are computed, or given."""
    return Call("sines", (first(node.inputs[0]),), (first(node.outputs[0]),), Order(op.halves))


def sine_table(op: SineTable, node: Node) -> Call:
    """Encodings of all places, once, when the weights are loaded."""
    places = Name(f"np.arange({op.length}.0)[None, :, None]")
    return Call("sines", (places,), (first(node.outputs[0]),), Order(op.halves))
