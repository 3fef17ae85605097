"""Hoisting: what does not depend on the input is computed once, when the weights are loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from netdsl.ir.graph import Graph
from netdsl.passes.manager import Remarks


@dataclass(frozen=True)
class Hoist:
    """Moves every node whose inputs are weights, or made from weights alone, to the prelude."""

    name: ClassVar[str] = "hoist"

    def run(self, graph: Graph, remarks: Remarks) -> Graph:
        """The graph with its constant part in the prelude."""
        constant = {parameter.value for parameter in graph.parameters}
        constant.update(value for node in graph.prelude for value in node.outputs)
        prelude, nodes = list(graph.prelude), []
        for node in graph.nodes:
            # f(w) is the same for every input.
            if constant.issuperset(node.inputs):
                prelude.append(node)
                constant.update(node.outputs)
            else:
                nodes.append(node)
        if len(nodes) == len(graph.nodes):
            return graph
        return replace(graph, prelude=tuple(prelude), nodes=tuple(nodes))
