"""Rewriting: a new graph in one walk over an old one. Graphs are frozen, but share the values and nodes that stay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from netdsl.ir.build import Signatures, plain
from netdsl.ir.graph import Graph, Node, Value
from netdsl.ops.base import Op
from netdsl.tensor import Layout, TensorType


class Rewriter:
    """Collects the nodes of a new graph, which starts with the prelude of the old one.

    A pass walks `graph.nodes` and, for each, adds `current(node)`, or adds something else whose results are the same
    values, or makes something else and lets it `stand_for` the node's results, or adds nothing.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.producers: dict[Value, Node] = {}
        self._nodes: list[Node] = []
        self._prelude: list[Node] = []
        self._new: dict[Value, Value] = {}
        self._signatures = Signatures()
        self._names = {value.name for value in (*graph.inputs, *(p.value for p in graph.parameters))}
        self._names.update(value.name for node in graph.walk() for value in node.outputs)
        for node in graph.prelude:
            self.add(node, prelude=True)

    def current(self, node: Node) -> Node:
        """An old node, reading values of the new graph; the same object where that changes nothing."""
        inputs = self.values(node.inputs)
        return node if inputs == node.inputs else replace(node, inputs=inputs)

    def values(self, old: Iterable[Value]) -> tuple[Value, ...]:
        """What the new graph has in place of values of the old one."""
        return tuple([self._new.get(value, value) for value in old])

    def stand_for(self, old: Value, new: Value) -> None:
        """From here on, `new` is read wherever the old graph reads `old`."""
        self._new[old] = new

    def add(self, node: Node, *, prelude: bool = False) -> None:
        """Append a node that reads values of the new graph."""
        (self._prelude if prelude else self._nodes).append(node)
        for value in node.outputs:
            self.producers[value] = node

    def make(
        self,
        op: Op,
        inputs: Sequence[Value],
        name: str,
        like: Node,
        *,
        prelude: bool = False,
        layout: Layout = Layout.CHANNELS_FIRST,
    ) -> Value:
        """Add a node with one result and no weights, called `name` if that is free, from the same place as `like`.

        A map that it makes is stored in `layout`.
        """
        signature = self._signatures(op, plain(tuple([value.type for value in inputs])))
        (type,) = signature.results
        output = self.fresh(name, type if type.layout is layout else type._replace(layout=layout))
        node = Node(signature.op, tuple(inputs), (output,), output.name, like.scope, like.span, like.frame)
        self.add(node, prelude=prelude)
        return output

    def fresh(self, name: str, type: TensorType) -> Value:
        """A new value, called `name`, or `name@2` and so on where that is taken."""
        unique, count = name, 1
        while unique in self._names:
            count += 1
            unique = f"{name}@{count}"
        self._names.add(unique)
        return Value(unique, type)

    def finish(self) -> Graph:
        """The new graph, with inputs, parameters and names of results as they were; the old one if nothing changed."""
        old, nodes, prelude = self.graph, tuple(self._nodes), tuple(self._prelude)
        results = tuple((name, self._new.get(value, value)) for name, value in old.results)
        if (nodes, prelude, results) == (old.nodes, old.prelude, old.results):
            return old
        return replace(old, nodes=nodes, prelude=prelude, results=results)
