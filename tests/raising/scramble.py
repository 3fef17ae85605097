"""A graph as a stranger would give it: other names, other order of nodes, no places."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from netdsl.ir.graph import Graph, Node, Value


def scrambled(graph: Graph, seed: int) -> Graph:
    """The same network: nodes in another valid order, names that say nothing."""
    random = Random(seed)
    values: dict[Value, Value] = {}

    def renamed(value: Value) -> Value:
        return values.setdefault(value, Value(f"{random.choice('v%t')}{len(values)}", value.type))

    parameters = [replace(one, value=renamed(one.value), span=None) for one in graph.parameters]
    random.shuffle(parameters)
    inputs = tuple(map(renamed, graph.inputs))
    nodes = [
        Node(node.op, tuple(map(renamed, node.inputs)), tuple(map(renamed, node.outputs)), f"n{number}")
        for number, node in enumerate(_another_order(graph, random))
    ]
    results = tuple((f"{number}", renamed(value)) for number, (_, value) in enumerate(graph.results))
    return Graph("main", inputs, tuple(parameters), tuple(nodes), results)


def _another_order(graph: Graph, random: Random) -> list[Node]:
    made = {value: node for node in graph.walk() for value in node.outputs}
    missing = {node: len({made[value] for value in node.inputs if value in made}) for node in graph.walk()}
    readers: dict[Node, list[Node]] = {node: [] for node in missing}
    for node in missing:
        for before in {made[value]: None for value in node.inputs if value in made}:
            readers[before].append(node)
    ready = [node for node, count in missing.items() if count == 0]
    order = []
    while ready:
        node = ready.pop(random.randrange(len(ready)))
        order.append(node)
        for reader in readers[node]:
            missing[reader] -= 1
            if missing[reader] == 0:
                ready.append(reader)
    return order
