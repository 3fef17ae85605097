"""A graph made ready: layers in an order of our own, and weights such as a program can declare them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from netdsl.ir.graph import Graph, Node, Parameter, Value
from netdsl.ops.base import Op
from netdsl.ops.linear import Fc
from netdsl.ops.sequence import Embed

Owner = tuple[Op, tuple[Value, ...]]
"""A layer by what it computes and its weights: the same layer, however often it is called."""


@dataclass(eq=False, slots=True)
class Prepared:
    """What is raised. The order of its nodes depends on the graph alone, not on the order in which it came.

    origin      weights of the prepared nodes to those of the graph. A program can call a whole layer again, but it
                cannot give one weight to two different layers, so then each has a copy.
    operands    the inputs of a node that are not its layer's own weights.
    own         operands that are weights which nothing else reads.
    shared      nodes with common weights, by a number for each set; that of a set that others are tied to too.
    tied        nodes that multiply by the table of a shared layer, and that layer's number: `fc vocab tied=words`.
    idle        values that nothing reads.
    """

    graph: Graph
    nodes: list[Node] = field(default_factory=list)
    origin: dict[Value, Value] = field(default_factory=dict)
    parameters: dict[Value, Parameter] = field(default_factory=dict)
    operands: dict[Node, tuple[Value, ...]] = field(default_factory=dict)
    own: set[Value] = field(default_factory=set)
    shared: dict[Node, int] = field(default_factory=dict)
    tied: dict[Node, int] = field(default_factory=dict)
    idle: list[Value] = field(default_factory=list)

    def expected(self, swapped: Iterable[Node]) -> Graph:
        """The graph that the program has to mean; the two terms of sums in `swapped` stand the other way round."""
        turned = set(swapped)
        nodes = [replace(node, inputs=node.inputs[::-1]) if node in turned else node for node in self.nodes]
        return replace(self.graph, nodes=tuple(nodes), prelude=(), parameters=tuple(self.parameters.values()))


def prepare(graph: Graph) -> Prepared:
    """The graph in the order in which its results ask for their operands."""
    prepared = Prepared(graph)
    nodes, prepared.idle = _in_order(graph)
    known = {parameter.value: parameter for parameter in graph.parameters}
    prepared.origin = {value: value for value in known}
    # A weight belongs to the first layer that reads it, together with those that are the same layer again.
    # A table's rows are its own layer's before they are a matrix's.
    owner: dict[Value, Owner | None] = {
        node.weights[0]: (node.op, node.weights) for node in nodes if isinstance(node.op, Embed)
    }
    ties: dict[Node, Owner] = {}
    names = Counter(value.name for value in known)
    sets: dict[Owner, list[Node]] = {}
    copies: dict[tuple[object, Value], Value] = {}
    for node in nodes:
        operands = node.operands
        weights = node.inputs[len(operands) :]
        if weights:
            key = (node.op, weights)
            table = owner.get(weights[0])
            if table is not None and _is_tied(key, table):
                ties[node] = table
                weights = ()
            for value in weights:
                if owner.setdefault(value, key) != key and (key, value) not in copies:
                    copies[key, value] = _copy(value, prepared, names)
            changed = tuple([copies.get((key, value), value) for value in weights])
            if changed != weights:
                node = replace(node, inputs=(*operands, *changed))
            if weights:
                sets.setdefault(key, []).append(node)
        for value in operands:
            if value in known:
                owner[value] = None
        prepared.operands[node] = operands
        prepared.nodes.append(node)
    prepared.parameters = {value: replace(known[first], value=value) for value, first in prepared.origin.items()}
    repeated = [key for key, same in sets.items() if len(same) > 1 or key in ties.values()]
    prepared.shared = {node: number for number, key in enumerate(repeated) for node in sets[key]}
    prepared.tied = {node: repeated.index(key) for node, key in ties.items()}
    read = Counter(value for node in prepared.nodes for value in prepared.operands[node] if value in known)
    read.update(graph.outputs)
    for node in prepared.nodes:
        loose = [value for value in prepared.operands[node] if value in known]
        if len(loose) < len(prepared.operands[node]):
            prepared.own.update(value for value in loose if read[value] == 1)
    return prepared


def _is_tied(layer: Owner, table: Owner) -> bool:
    """Whether a layer is a matrix product without bias, by the table of another one."""
    return layer != table and isinstance(layer[0], Fc) and not layer[0].bias and isinstance(table[0], Embed | Fc)


def _copy(value: Value, prepared: Prepared, names: Counter[str]) -> Value:
    names[value.name] += 1
    copy = Value(f"{value.name}@{names[value.name]}", value.type)
    prepared.origin[copy] = value
    return copy


def _in_order(graph: Graph) -> tuple[list[Node], list[Value]]:
    """The nodes by a walk back from the results, operands in order; then what nothing reads, with its last values."""
    made = {value: node for node in graph.walk() for value in node.outputs}
    read = {value for node in graph.walk() for value in node.inputs} | set(graph.outputs)
    done: set[Node] = set()
    nodes: list[Node] = []
    _visit(graph.outputs, made, done, nodes)
    idle: list[Value] = []
    for node in graph.walk():
        if not any(value in read for value in node.outputs):
            _visit(node.outputs, made, done, nodes)
            idle.append(node.outputs[0])
    return nodes, idle


def _visit(wanted: Sequence[Value], made: dict[Value, Node], done: set[Node], nodes: list[Node]) -> None:
    waiting = [(made[value], False) for value in reversed(wanted) if value in made]
    while waiting:
        node, ready = waiting.pop()
        if node in done:
            continue
        if ready:
            done.add(node)
            nodes.append(node)
            continue
        waiting.append((node, True))
        waiting += [
            (made[value], False) for value in reversed(node.inputs) if value in made and made[value] not in done
        ]
