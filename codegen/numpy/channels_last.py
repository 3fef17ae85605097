"""The results of convolutions lie channels last, whatever their rank: their kernels write rows of channels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from netdsl.ir.fused import Fused
from netdsl.ir.graph import Graph, Node, Value
from netdsl.ops.conv import Conv, UpConv
from netdsl.tensor import Layout


def convolutions_last(graph: Graph) -> Graph:
    """The graph with the results of convolutions stored channels last, where the layout pass left them (`C x L`, one
    channel, one place). Their readers take views."""
    new: dict[Value, Value] = {}

    def renewed(nodes: Iterable[Node]) -> tuple[Node, ...]:
        result = []
        for node in nodes:
            anchor = node.op.anchor if isinstance(node.op, Fused) else node.op
            if isinstance(anchor, Conv | UpConv) and node.outputs[0].type.layout is Layout.CHANNELS_FIRST:
                (value,) = node.outputs
                new[value] = Value(value.name, value.type._replace(layout=Layout.CHANNELS_LAST))
            inputs = tuple([new.get(value, value) for value in node.inputs])
            outputs = tuple([new.get(value, value) for value in node.outputs])
            same = inputs == node.inputs and outputs == node.outputs
            result.append(node if same else replace(node, inputs=inputs, outputs=outputs))
        return tuple(result)

    prelude = renewed(graph.prelude)
    nodes = renewed(graph.nodes)
    results = tuple((name, new.get(value, value)) for name, value in graph.results)
    return replace(graph, prelude=prelude, nodes=nodes, results=results)
