"""One node of the graph, seen from the kernel that computes it: an anchor, and the elementwise operations after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netdsl.codegen.triton.kernels import BodyText
from netdsl.codegen.triton.place import Body
from netdsl.ir.fused import Fused
from netdsl.ir.graph import Node, Value
from netdsl.ops.base import Op


@dataclass(frozen=True)
class Site:
    """What a lowering gets.

    op        the anchor, resolved.
    operands  its operands, as the graph has them.
    weights   its weights.
    results   what the whole node makes.
    chain     the anchor and the operations after it, on values of their own graph where they are fused.
    outer     for values of that graph that come from outside: which they are.
    """

    node: Node
    op: Op
    operands: tuple[Value, ...]
    weights: tuple[Value, ...]
    results: tuple[Value, ...]
    chain: tuple[Node, ...]
    outer: Mapping[Value, Value]

    def reads(self, value: Value) -> int:
        """How often the anchor and the operations after it read a value of the graph."""
        return sum(self.outer.get(operand, operand) is value for node in self.chain for operand in node.inputs)

    @property
    def tail(self) -> tuple[Node, ...]:
        """The operations after the anchor."""
        return self.chain[1:]

    @property
    def result(self) -> Value:
        """The one result of the node."""
        (value,) = self.results
        return value

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the operators, for names of kernels."""
        return tuple(node.op.word for node in self.chain)

    def finish(self, body: Body, result: str) -> BodyText:
        """The body of a kernel that has the anchor's result in the variable `result`: the tail is applied to it."""
        variables = {self.chain[0].outputs[0]: result}
        for node in self.tail:
            body.apply(node, variables, self.outer)
        last = variables[self.chain[-1].outputs[0]]
        return BodyText(tuple(body.parameters.values()), tuple(body.lines), last, body.helpers)


def site(node: Node) -> Site:
    """A node taken apart."""
    if not isinstance(node.op, Fused):
        outer = {value: value for value in node.inputs}
        return Site(node, node.op, node.operands, node.weights, node.outputs, (node,), outer)
    inside = node.op.body
    taken = (*inside.inputs, *(parameter.value for parameter in inside.parameters))
    outer = dict(zip(taken, node.inputs, strict=True))
    anchor = inside.nodes[0]
    operands = tuple(outer[value] for value in anchor.operands)
    weights = tuple(outer[value] for value in anchor.weights)
    return Site(node, anchor.op, operands, weights, node.outputs, inside.nodes, outer)
