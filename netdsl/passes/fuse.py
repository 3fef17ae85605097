"""Fusion: elementwise operations join the operator before them, so that a value is written once, when it is ready."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from netdsl.ir.build import GraphBuilder
from netdsl.ir.fused import Fused
from netdsl.ir.graph import Graph, Node, Value, users
from netdsl.ops.activation import Elementwise, PRelu
from netdsl.ops.base import Op
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.elementwise import Join
from netdsl.ops.linear import Fc, MatMul
from netdsl.ops.pool import AdaptivePool, Pool
from netdsl.passes.manager import Remarks, in_words
from netdsl.tensor import Layout

ELEMENTWISE: tuple[type[Op], ...] = (Elementwise, PRelu, Join)
"""Operators whose result at a place depends on their operands at that place (or on one broadcast there) alone."""


@dataclass(frozen=True)
class Fuse:
    """Makes `fused` of an anchor and the elementwise operations that follow it, one after another.

    f_n(... f_1(anchor(x), y_1) ..., y_n) = fused(x, y_1 ... y_n)

    A value is carried on inside if one node alone reads it, it is no result of the graph, and the reader keeps its
    shape; the reader's other operands are ready by then, or it could not run. Of two candidates (an addition of two
    convolutions) the later takes the join, which leaves the order of execution as it is. Elementwise operations may
    anchor a chain of their own. The fused node stands where the last of its nodes stood and has the anchor's name.
    """

    name: ClassVar[str] = "fuse"

    anchors: tuple[type[Op], ...] = (Conv, UpConv, Fc, MatMul, Pool, AdaptivePool)
    tails: tuple[type[Op], ...] = ELEMENTWISE

    def run(self, graph: Graph, remarks: Remarks) -> Graph:
        """The graph with its chains fused."""
        readers = {value: len(set(nodes)) for value, nodes in users(graph).items()}
        for value in graph.outputs:
            readers[value] = readers.get(value, 0) + 1
        position = {value: step for step, node in enumerate(graph.nodes) for value in node.outputs}
        open_chains: dict[Value, list[Node]] = {}
        chain_of: dict[Node, list[Node]] = {}
        for node in graph.nodes:
            chain = self._chain_before(node, open_chains, readers, position, remarks)
            if chain is None:
                chain = []
            else:
                del open_chains[chain[-1].outputs[0]]
            chain.append(node)
            chain_of[node] = chain
            if len(node.outputs) == 1 and isinstance(node.op, self.anchors + self.tails):
                open_chains[node.outputs[0]] = chain
        nodes = []
        bodies: dict[tuple[object, ...], Fused] = {}
        for node in graph.nodes:
            chain = chain_of[node]
            if node is chain[-1]:
                nodes.append(node if len(chain) == 1 else _fused(chain, bodies))
        return graph if len(nodes) == len(graph.nodes) else replace(graph, nodes=tuple(nodes))

    def _chain_before(
        self,
        node: Node,
        open_chains: dict[Value, list[Node]],
        readers: dict[Value, int],
        position: dict[Value, int],
        remarks: Remarks,
    ) -> list[Node] | None:
        """The chain that a node goes on with: of those that it may, the one that got its value last."""
        if not isinstance(node.op, self.tails):
            return None
        missed = None
        candidates = [value for value in dict.fromkeys(node.operands) if value in open_chains]
        for value in sorted(candidates, key=lambda value: -position[value]):
            if value.type != node.outputs[0].type:
                continue
            if readers[value] == 1:
                return open_chains[value]
            missed = missed or open_chains[value]
        if missed is not None and isinstance(missed[0].op, self.anchors):
            word, anchor, value = node.op.word, missed[0], missed[-1].outputs[0]
            why = f"{value.name} has {in_words(readers[value])} users"
            remarks.add(node, f"{word} {node.name} is not fused into {anchor.op.word} {anchor.name}: {why}")
        return None


def _fused(chain: list[Node], bodies: dict[tuple[object, ...], Fused]) -> Node:
    """One node for a chain. `bodies` has the operators of those that were made: equal chains of one text share one."""
    made = tuple([value for node in chain for value in node.outputs])
    operands = tuple(dict.fromkeys(value for node in chain for value in node.operands if value not in made))
    inputs = (*operands, *(value for node in chain for value in node.weights))

    place = {value: number for number, value in enumerate((*inputs, *made))}
    links = [(node.op, node.span, *(place[value] for value in node.inputs)) for node in chain]
    key = (*links, *(value.type for value in operands))
    if key not in bodies:
        bodies[key] = Fused(_body(chain, operands))
    return replace(chain[0], op=bodies[key], inputs=inputs, outputs=chain[-1].outputs)


def _body(chain: list[Node], operands: tuple[Value, ...]) -> Graph:
    """A chain as a graph. Names inside are the operators' words, so that equal chains have equal bodies."""
    body = GraphBuilder("_".join(node.op.word for node in chain))
    inside = {
        value: body.input(f"x{index}", value.type._replace(layout=Layout.CHANNELS_FIRST))
        for index, value in enumerate(operands)
    }
    words: dict[str, int] = {}
    for node in chain:
        count = words[node.op.word] = words.get(node.op.word, 0) + 1
        name = node.op.word if count == 1 else f"{node.op.word}{count}"
        results = body.node(node.op, [inside[value] for value in node.operands], name=name, span=node.span)
        inside[node.outputs[0]] = results[0]
    return body.result("y", inside[chain[-1].outputs[0]]).finish()
