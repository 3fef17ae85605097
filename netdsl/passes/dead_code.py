"""Dead code: what no result depends on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from netdsl.ir.graph import Graph, Node, Value
from netdsl.passes.manager import Remarks


@dataclass(frozen=True)
class DeadCode:
    """Drops nodes that no result depends on, from the prelude too.

    Inputs and parameters stay, used or not: they are the signature of the network and of its weights file.
    """

    name: ClassVar[str] = "dead-code"

    def run(self, graph: Graph, remarks: Remarks) -> Graph:
        """The graph without dead nodes."""
        live: set[Value] = set(graph.outputs)

        def alive(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
            kept = []
            for node in reversed(nodes):
                if not live.isdisjoint(node.outputs):
                    live.update(node.inputs)
                    kept.append(node)
            return tuple(reversed(kept))

        nodes = alive(graph.nodes)
        prelude = alive(graph.prelude)
        if (nodes, prelude) == (graph.nodes, graph.prelude):
            return graph
        return replace(graph, nodes=nodes, prelude=prelude)
