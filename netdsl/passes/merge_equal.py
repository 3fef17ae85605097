"""Common subexpressions: what is computed twice from the same values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netdsl.ir.graph import Graph, Value
from netdsl.ir.rewrite import Rewriter
from netdsl.ops.base import Op
from netdsl.passes.manager import Remarks


@dataclass(frozen=True)
class MergeEqual:
    """Drops a node that applies an equal operator to the same values as an earlier node.

    Nothing draws random numbers at inference, so equal operators on the same values have equal results. Layers with
    weights of their own never meet; two calls of a shared layer on one tensor do.
    """

    name: ClassVar[str] = "merge-equal"

    def run(self, graph: Graph, remarks: Remarks) -> Graph:
        """The graph with each value computed once."""
        rewriter = Rewriter(graph)
        known: dict[tuple[Op, tuple[Value, ...]], tuple[Value, ...]] = {}
        for node in graph.nodes:
            now = rewriter.current(node)
            # f(x) = f(x)
            first = known.setdefault((now.op, now.inputs), now.outputs)
            if first is now.outputs:
                rewriter.add(now)
            else:
                for old, new in zip(node.outputs, first, strict=True):
                    rewriter.stand_for(old, new)
        return rewriter.finish()
