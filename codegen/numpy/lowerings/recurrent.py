"""Recurrent layers, whose products with the input a layer before has made."""

from __future__ import annotations

from dataclasses import dataclass

from netdsl.codegen.numpy.calls import Call
from netdsl.codegen.numpy.storage import View, first
from netdsl.ir.graph import Node
from netdsl.ops.recurrent import Recurrence


@dataclass(frozen=True)
class Direction:
    """Whether the last step comes first."""

    reverse: bool


def recurrence(op: Recurrence, node: Node) -> Call:
    """Step by step; what a state begins with is a view or zero."""
    x, weight, bias, *before = node.inputs
    state = tuple(map(first, before)) if before else (0.0,) * op.kind.states
    arguments = (first(x), View(weight), View(bias), *state)
    return Call(f"{op.cell}_steps", arguments, tuple(map(first, node.outputs)), Direction(op.reverse))
