"""A graph that is being said again: who makes and who reads each value, the arrays of weights, layers put in place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import UnionType

import numpy as np

from netdsl.ir.build import Signatures, weight_type
from netdsl.ir.graph import Graph, Node, Parameter, Value
from netdsl.onnx.read.values import Array
from netdsl.ops.base import Op
from netdsl.passes.dead_code import DeadCode
from netdsl.passes.manager import Remarks
from netdsl.tensor import DType

NEAR = 200
"""Values that are looked at on the way back from one to another."""


class Sheet:
    """One graph. Nodes are replaced in their places; what nothing reads any more counts as no reader.

    masks   whether inputs may become truth values, where attention is hidden by them.
    """

    def __init__(self, graph: Graph, weights: Mapping[str, Array], masks: bool = True) -> None:
        self.graph = graph
        self.masks = masks
        self._arrays = {parameter.value: weights[parameter.value.name] for parameter in graph.parameters}
        self._parameters = {parameter.value: parameter for parameter in graph.parameters}
        self._names = {value.name for value in (*graph.inputs, *self._parameters)}
        self._makers = {value: node for node in graph.nodes for value in node.outputs}
        self._uses = Counter(value for node in graph.nodes for value in node.inputs)
        self._uses.update(graph.outputs)
        self._now = {node: node for node in graph.nodes}
        self._first = dict(self._now)
        self._places = {node: place for place, node in enumerate(graph.nodes)}
        self._signatures = Signatures()
        self._beginnings: dict[tuple[int, Value], int] = {}
        self._joined: dict[int, Value] = {}
        self._masks: dict[Value, Value] = {}

    def maker(self, value: Value, kind: type[Op] | UnionType = Op) -> Node | None:
        """The node that makes a value, if it is of this kind."""
        node = self._makers.get(value)
        return node if node is not None and isinstance(node.op, kind) else None

    def place(self, node: Node) -> int:
        """Where a node stands among the others."""
        return self._places[self._first[node]]

    def behind(self, value: Value, kind: type[Op]) -> Value:
        """What a value was made of by one node of this kind; the value itself where it was not."""
        node = self.maker(value, kind)
        return value if node is None else node.inputs[0]

    def alone(self, value: Value) -> bool:
        """Whether it is read once."""
        return self._uses[value] == 1

    def array(self, value: Value) -> Array | None:
        """The numbers of a weight."""
        return self._arrays.get(value)

    def single(self, value: Value) -> float | None:
        """The number of a weight of one element."""
        array = self._arrays.get(value)
        return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None

    def neutral(self, scale: Value, shift: Value) -> bool:
        """Whether these weights are ones and zeros."""
        return bool((self._arrays[scale] == 1).all() and (self._arrays[shift] == 0).all())

    def constant_among(self, node: Node) -> tuple[Value, Array] | None:
        """The two operands of a node, where one is computed and the other a weight: the first, and the array."""
        if len(node.inputs) != 2:
            return None
        for value, other in (node.inputs, node.inputs[::-1]):
            array = self._arrays.get(other)
            if array is not None and value not in self._arrays:
                return value, array
        return None

    def longest_beginning(self, axis: int, parts: Sequence[Value], joined: Value) -> tuple[int, Value] | None:
        """The longest list that was joined before and that `parts` go on from, with its length and what it made."""
        number, found = -1 - axis, None
        for length, value in enumerate(parts, 1):
            number = self._beginnings.setdefault((number, value), len(self._beginnings))
            if 1 < length < len(parts) and number in self._joined:
                found = length, self._joined[number]
        self._joined.setdefault(number, joined)
        return found

    def leads_to(self, start: Value, end: Value) -> bool:
        """Whether a value is made of another, a few steps further on."""
        seen, waiting = {end}, [end]
        while waiting and len(seen) < NEAR:
            value = waiting.pop()
            if value is start:
                return True
            maker = self._makers.get(value)
            fresh = [one for one in maker.inputs if one not in seen] if maker is not None else []
            seen.update(fresh)
            waiting += fresh
        return False

    def layer(self, like: Node, op: Op, operands: Sequence[Value], weights: Sequence[Value | Array] = ()) -> Node:
        """A node with the name and the results of another. Weights are read where they lie, or are new ones."""
        signature = self._signatures(op, tuple([value.type for value in operands]))
        given = [
            self._weight(f"{like.name}.{wanted.name}", wanted.type.shape, weight)
            for wanted, weight in zip(signature.weights, weights, strict=True)
        ]
        assert signature.results == tuple(value.type for value in like.outputs)
        return replace(like, op=signature.op, inputs=(*operands, *given), shared=None)

    def mask(self, value: Value) -> Value:
        """An input as truth values."""
        return self._masks.setdefault(value, Value(value.name, value.type._replace(dtype=DType.BOOL)))

    def mistyped(self) -> bool:
        """Whether an input that became truth values is also read as numbers."""
        return any(self._uses[value] for value in self._masks)

    def put(self, old: Node, new: Node) -> None:
        """Put a node in the place of another."""
        first = self._first.pop(old)
        self._first[new], self._now[first] = first, new
        self._makers.update(dict.fromkeys(new.outputs, new))
        self._uses.update(new.inputs)
        unread = list(old.inputs)
        while unread:
            value = unread.pop()
            self._uses[value] -= 1
            maker = self._makers.get(value)
            if maker is not None and not any(self._uses[output] for output in maker.outputs):
                unread += maker.inputs

    def finish(self) -> tuple[Graph, dict[str, Array]]:
        """The graph of what is read, and its weights."""
        inputs = tuple([self._masks.get(value, value) for value in self.graph.inputs])
        nodes = tuple([self._now[node] for node in self.graph.nodes])
        graph = DeadCode().run(replace(self.graph, inputs=inputs, nodes=nodes), Remarks())
        read = {value for node in graph.nodes for value in node.inputs} | set(graph.outputs)
        parameters = tuple([parameter for value, parameter in self._parameters.items() if value in read])
        arrays = {one.value.name: self._arrays[one.value] for one in parameters}
        return replace(graph, parameters=parameters), arrays

    def _weight(self, name: str, shape: tuple[int, ...], weight: Value | Array) -> Value:
        if isinstance(weight, Value):
            assert weight.type.shape == shape
            return weight
        unique, count = name, 1
        while unique in self._names:
            count += 1
            unique = f"{name}_{count}"
        self._names.add(unique)
        value = Value(unique, weight_type(shape))
        self._arrays[value] = np.ascontiguousarray(weight, np.float32).reshape(shape)
        init = next(iter(self._parameters.values())).init
        self._parameters[value] = Parameter(value, init)
        return value
