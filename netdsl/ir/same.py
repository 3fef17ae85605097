"""Whether two graphs are one network under other names. The order of nodes does not count, that of operands does."""

from __future__ import annotations

from collections.abc import Iterable

from netdsl.ir.graph import Graph, Node, Value

Made = dict[Value, tuple[Node, int]]


def correspondence(first: Graph, second: Graph) -> dict[Value, Value] | None:
    """The values of `second` that play the parts of those of `first`, or None where the two are different networks.

    Inputs and results correspond in order. From the results the walk goes back, operand by operand, so that each step
    leaves one possibility; layers that no result depends on are matched by what they compute. Every value has one
    partner: weights that are shared in one graph are shared in the other. How weights start is not compared, but the
    numbers of those that a text lists are.
    """
    if len(first.inputs) != len(second.inputs) or len(first.results) != len(second.results):
        return None
    pairs = list(zip(first.outputs, second.outputs, strict=True))
    pairs += zip(first.inputs, second.inputs, strict=True)
    match = _Match(first, second)
    if not match.walk(pairs):
        return None
    numbers: dict[object, int] = {}
    left, right = _unread(first, match.to_second, numbers), _unread(second, match.to_first, numbers)
    if sorted(left) != sorted(right):
        return None
    idle = [pair for key in left for pair in zip(left[key], right[key], strict=False)]
    if any(len(left[key]) != len(right[key]) for key in left) or not match.walk(idle):
        return None
    return match.to_second


class _Match:
    def __init__(self, first: Graph, second: Graph) -> None:
        self.first, self.second = _made(first), _made(second)
        self.listed = _listed(first) | _listed(second)
        self.to_second: dict[Value, Value] = {}
        self.to_first: dict[Value, Value] = {}

    def walk(self, pairs: Iterable[tuple[Value, Value]]) -> bool:
        """Whether these values, and all that they are made of, correspond."""
        waiting = list(pairs)
        while waiting:
            a, b = waiting.pop()
            if a in self.to_second or b in self.to_first:
                if self.to_second.get(a) is not b:
                    return False
                continue
            if a.type != b.type or self.listed.get(a) != self.listed.get(b):
                return False
            self.to_second[a], self.to_first[b] = b, a
            one, other = self.first.get(a), self.second.get(b)
            if one is None or other is None:
                if one is not other:
                    return False
                continue
            (node, place), (twin, twin_place) = one, other
            if node.op != twin.op or place != twin_place or len(node.inputs) != len(twin.inputs):
                return False
            waiting += zip(node.inputs, twin.inputs, strict=True)
            waiting += zip(node.outputs, twin.outputs, strict=True)
        return True


def _made(graph: Graph) -> Made:
    return {value: (node, place) for node in graph.walk() for place, value in enumerate(node.outputs)}


def _listed(graph: Graph) -> dict[Value, tuple[float, ...]]:
    return {parameter.value: parameter.init.numbers for parameter in graph.parameters if parameter.init.numbers}


def _unread(graph: Graph, known: dict[Value, Value], numbers: dict[object, int]) -> dict[int, list[Value]]:
    """First results of the layers that no result depends on and nothing reads, by what they compute."""
    inputs = {value: place for place, value in enumerate(graph.inputs)}
    listed = _listed(graph)
    keys: dict[Value, int] = {}

    def number(key: object) -> int:
        return numbers.setdefault(key, len(numbers))

    for value in (*graph.inputs, *(parameter.value for parameter in graph.parameters)):
        keys[value] = number((inputs.get(value), value.type, listed.get(value)))
    read = {value for node in graph.walk() for value in node.inputs}
    found: dict[int, list[Value]] = {}
    for node in graph.walk():
        made = number((node.op, tuple([keys[value] for value in node.inputs])))
        for place, value in enumerate(node.outputs):
            keys[value] = number((made, place))
        if node.outputs[0] not in known and not any(value in read for value in node.outputs):
            found.setdefault(made, []).append(node.outputs[0])
    return found
