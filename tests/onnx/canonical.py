"""Graphs in a form in which two are equal that ONNX cannot tell apart, and the compiler makes the same of.

The compiler's rewrites come first. Then what weights alone decide is a weight, a factor is a weight of one element, and
elements that are moved are moved once, wherever reshapes and transpositions stood.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np

from netdsl.ir.graph import Graph, Node, Parameter, Value
from netdsl.onnx.idioms.attention import MOVES
from netdsl.ops.base import ZEROS
from netdsl.ops.elementwise import Div, Mul, Scale
from netdsl.ops.linear import MatMul
from netdsl.ops.maps import PixelShuffle, Shuffle
from netdsl.ops.norm import LayerNorm
from netdsl.ops.pieces import Slice, Split, Take
from netdsl.passes.dead_code import DeadCode
from netdsl.passes.expand import Expand
from netdsl.passes.hoist import Hoist
from netdsl.passes.manager import Remarks
from netdsl.passes.simplify import Simplify
from netdsl.reference.interpret import REFERENCE
from netdsl.tensor import TensorType

REORDERS = (*(set(MOVES) - {Slice, Split, Take}), Shuffle, PixelShuffle)
"""Operators that keep all elements."""


@dataclass(frozen=True)
class Moved:
    """All elements of a tensor in another order, under other extents: what stands for an operator, only compared."""

    order: bytes
    shape: tuple[int, ...]


@dataclass
class Seen:
    """A tensor, and which of its elements stands where as it is seen; None where it is seen as it lies."""

    base: Value
    order: Any = None

    @property
    def places(self) -> Any:
        return np.arange(self.base.type.size).reshape(self.base.type.shape) if self.order is None else self.order


def canonical(graph: Graph) -> Graph:
    """The graph in that form."""
    for each in (Expand(), Simplify(), Hoist(), DeadCode()):
        graph = each.run(graph, Remarks())
    return _Rewritten(graph).graph


class _Rewritten:
    def __init__(self, graph: Graph) -> None:
        made = {value for node in graph.prelude for value in node.outputs}
        read = {value for node in graph.nodes for value in node.inputs}
        self._parameters = [Parameter(p.value, ZEROS) for p in graph.parameters if p.value in read]
        self._parameters += [Parameter(value, ZEROS) for value in made & read]
        self._known = {p.value for p in self._parameters}
        self._numbers = count()
        self._nodes: list[Node] = []
        self._materials: dict[tuple[Value, bytes, tuple[int, ...]], Value] = {}
        self._seen: dict[Value, Seen] = {}
        for node in graph.nodes:
            self._add(node)
        results = tuple((name, self._tensor(self._of(value))) for name, value in graph.results)
        nodes = tuple(self._nodes)
        rest = {value for node in nodes for value in node.inputs}
        parameters = tuple(p for p in self._parameters if p.value in rest)
        self.graph = replace(graph, parameters=parameters, nodes=nodes, results=results, prelude=())

    def _add(self, node: Node) -> None:
        op, (first, *_) = node.op, node.inputs
        if isinstance(op, REORDERS):
            seen = self._of(first)
            self._seen[node.outputs[0]] = Seen(seen.base, np.asarray(REFERENCE[type(op)](op, seen.places[None]))[0])
            return
        operands = [self._of(value) for value in node.inputs]
        back = None
        if isinstance(op, Scale):
            op = Mul()
            operands.append(Seen(self._number(TensorType((1,), first.type.dtype, 0))))
        elif isinstance(op, Mul | Div) and len(operands) == 2 and node.inputs[1].type.size == 1:
            if node.inputs[1] in self._known:  # x / w = x (1 / w)
                op, operands[1] = Mul(), Seen(self._number(node.inputs[1].type._replace(shape=(1,))))
        elif isinstance(op, LayerNorm) and op.axis != first.type.rank - 1:
            operands[0] = Seen(operands[0].base, np.moveaxis(operands[0].places, op.axis, -1))
            back, op = op.axis, replace(op, axis=first.type.rank - 1)
        elif isinstance(op, MatMul):
            for place, swap in enumerate((op.transpose_a, op.transpose_b)):
                if swap:
                    operands[place] = Seen(operands[place].base, operands[place].places.swapaxes(-1, -2))
            op = MatMul()
        inputs = tuple(map(self._tensor, operands))
        outputs = node.outputs
        if back is not None:
            shape = inputs[0].type.shape
            outputs = (Value(f"{node.name}.moved", outputs[0].type._replace(shape=shape)),)
            places = np.arange(outputs[0].type.size).reshape(shape)
            self._seen[node.outputs[0]] = Seen(outputs[0], np.moveaxis(places, -1, back))
        self._nodes.append(replace(node, op=op, inputs=inputs, outputs=outputs, shared=None))

    def _of(self, value: Value) -> Seen:
        return self._seen.setdefault(value, Seen(value))

    def _number(self, type: TensorType) -> Value:
        value = Value(f"number_{next(self._numbers)}", type)
        self._parameters.append(Parameter(value, ZEROS))
        return value

    def _tensor(self, seen: Seen) -> Value:
        """The tensor itself, moved where it is not seen as it lies."""
        if seen.order is None:
            return seen.base
        base, shape = seen.base, seen.places.shape
        order = np.ascontiguousarray(seen.places).tobytes()
        if shape == base.type.shape and order == np.arange(base.type.size).tobytes():
            return base
        key = (base, order, shape)
        if key not in self._materials:
            moved: Any = Moved(order, shape)
            value = Value(f"moved_{next(self._numbers)}", base.type._replace(shape=shape))
            self._nodes.append(Node(moved, (base,), (value,), value.name))
            self._materials[key] = value
        return self._materials[key]
