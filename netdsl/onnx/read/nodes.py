"""What nodes need, and a function's nodes with what a call gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netdsl.onnx.read.file import needs


def wanted(graph: Any) -> set[str]:
    """The names that the outputs depend on: what else a node makes, nobody asks for."""
    makers = {name: node for node in graph.node for name in node.output}
    found: set[str] = set()
    waiting = [value.name for value in graph.output]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += needs(makers[name]) if name in makers else ()
    return found


def places_in_tables(graph: Any) -> set[str]:
    """Inputs of whole numbers that choose rows of a table, and do nothing else."""
    tables = {item.name for item in graph.initializer}
    chosen = {node.input[1] for node in graph.node if node.op_type == "Gather" and node.input[0] in tables}
    others = {
        name
        for node in graph.node
        for place, name in enumerate(needs(node))
        if node.op_type != "Gather" or place != 1 or node.input[0] not in tables
    }
    return chosen - others - {value.name for value in graph.output}


def bound(node: Any, given: Mapping[str, Any], absent: set[str]) -> Any:
    """A node of a function with the caller's attributes and without the operands that the caller leaves out."""
    copy = type(node)()
    copy.CopyFrom(node)
    del copy.attribute[:]
    for item in node.attribute:
        if not item.ref_attr_name:
            copy.attribute.append(item)
        elif item.ref_attr_name in given:
            bound = copy.attribute.add()
            bound.CopyFrom(given[item.ref_attr_name])
            bound.name = item.name
    for index, name in enumerate(node.input):
        if name in absent:
            copy.input[index] = ""
    return copy
