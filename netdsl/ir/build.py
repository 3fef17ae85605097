"""Building a graph node by node: operators are resolved, shapes inferred, weights named and declared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from netdsl.diagnostics import Frame
from netdsl.ir.graph import Graph, InvalidGraph, Node, Parameter, Value
from netdsl.ops.base import Init, Op, ShapeError, Types
from netdsl.source import Span
from netdsl.tensor import DType, Layout, TensorType, shape_text

_FIRST = Layout.CHANNELS_FIRST


class WeightType(NamedTuple):
    """A weight that an operator implies, with its type."""

    name: str
    type: TensorType
    init: Init
    trainable: bool


class Signature(NamedTuple):
    """What an operator is on given operands: resolved, with the types of its results and its weights.

    `operands` is how many of them it still reads: `crop(e4)` takes from `it` its extents alone, known by then.
    """

    op: Op
    operands: int
    results: Types
    weights: tuple[WeightType, ...]


class Signatures:
    """Shape inference that remembers: networks repeat their layers, so most questions are asked before.

    Kept per graph and not per process, because equal operators may print differently (`scale 2`, `scale 2.0`) and the
    first of them is the one that is kept.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Op, Types], Signature] = {}

    def __call__(self, op: Op, operands: Types) -> Signature:
        """The signature of `op`, as written or resolved, on operands of these types. Raises ShapeError."""
        key = (op, operands)
        known = self._known.get(key)
        if known is None:
            resolved = op.resolve(operands)
            weights = tuple(
                WeightType(name, weight_type(shape), init, trainable)
                for name, shape, init, trainable in resolved.weights(operands)
            )
            reads = len(operands) if (most := resolved.wanted()[1]) is None else min(most, len(operands))
            known = self._known[key] = Signature(resolved, reads, resolved.infer(operands), weights)
        return known


def plain(types: Types) -> Types:
    """Types without their layout, which no shape rule looks at."""
    for type in types:
        if type.layout is not _FIRST:
            return tuple([type._replace(layout=_FIRST) for type in types])
    return types


def weight_type(shape: tuple[int, ...]) -> TensorType:
    """The type of a weight: float32, the same for every sample."""
    return TensorType(shape, DType.FLOAT32, 0)


class GraphBuilder:
    """Makes one graph from front to back; `finish` returns it.

        builder = GraphBuilder("tiny")
        x = builder.input("x", TensorType((3, 8, 8)))
        (y,) = builder.node(Conv(4, (3,), padding=(1,)), (x,), name="c1")
        graph = builder.result("y", y).finish()

    A value is named as its node (`c1`; `c1.0`, `c1.1` where a node has several). A name that is taken, as in a second
    call of a shared layer, gets a number: `c1@2`.
    """

    def __init__(self, name: str, span: Span | None = None) -> None:
        self.name = name
        self.span = span
        self._inputs: list[Value] = []
        self._parameters: list[Parameter] = []
        self._nodes: list[Node] = []
        self._prelude: list[Node] = []
        self._results: list[tuple[str, Value]] = []
        self._signatures = Signatures()
        self._names: dict[str, int] = {}
        self._weights: dict[str, tuple[Value, ...]] = {}

    def input(self, name: str, type: TensorType) -> Value:
        """Declare the next input."""
        value = Value(self._unique(name), type)
        self._inputs.append(value)
        return value

    def parameter(
        self, name: str, shape: tuple[int, ...], init: Init, *, trainable: bool = True, span: Span | None = None
    ) -> Value:
        """Declare a weight by its key in the weights file. A key that is taken raises InvalidGraph."""
        return self._parameter(name, weight_type(shape), init, trainable, span)

    def signature(self, op: Op, inputs: Sequence[Value]) -> Signature:
        """What `op` would be on these operands. Raises ShapeError; adds nothing."""
        return self._signatures(op, tuple([value.type for value in inputs]))

    def node(
        self,
        op: Op,
        inputs: Sequence[Value],
        *,
        name: str,
        scope: str = "",
        span: Span | None = None,
        frame: Frame | None = None,
        shared: str | None = None,
        weights: Sequence[Value] | None = None,
        prelude: bool = False,
        signature: Signature | None = None,
    ) -> tuple[Value, ...]:
        """Add an operation on `inputs` (operands only) and return its results. Raises ShapeError.

        Its weights become parameters `<name>.<weight>`, unless `weights` gives them or `shared` names an earlier node,
        whose weights it then uses. `prelude` adds it to what runs once, on weights alone. `signature` is what
        `self.signature(op, inputs)` gave, where the caller asked already.
        """
        signature = signature or self.signature(op, inputs)
        if weights is not None:
            given = tuple(weights)
        elif shared is not None:
            given = self._weights[shared]
            _check_shared(signature.weights, given)
        elif signature.weights:
            given = tuple(
                [self._parameter(f"{name}.{w.name}", w.type, w.init, w.trainable, span) for w in signature.weights]
            )
        else:
            given = ()
        name = self._unique(name)
        if len(signature.results) == 1:
            outputs: tuple[Value, ...] = (Value(name, signature.results[0]),)
        else:
            outputs = tuple([Value(self._unique(f"{name}.{i}"), type) for i, type in enumerate(signature.results)])
        node = Node(signature.op, (*inputs[: signature.operands], *given), outputs, name, scope, span, frame, shared)
        (self._prelude if prelude else self._nodes).append(node)
        self._weights[name] = given
        return outputs

    def result(self, name: str, value: Value) -> GraphBuilder:
        """Declare the next output."""
        self._results.append((name, value))
        return self

    @property
    def nodes(self) -> Sequence[Node]:
        """The nodes added so far, the prelude's not among them."""
        return self._nodes

    def finish(self) -> Graph:
        """The graph built so far."""
        return Graph(
            self.name,
            tuple(self._inputs),
            tuple(self._parameters),
            tuple(self._nodes),
            tuple(self._results),
            tuple(self._prelude),
            self.span,
        )

    def _parameter(self, name: str, type: TensorType, init: Init, trainable: bool, span: Span | None) -> Value:
        if name in self._names:
            raise InvalidGraph(f"two tensors are named {name}, one of them a weight")
        self._names[name] = 1
        value = Value(name, type)
        self._parameters.append(Parameter(value, init, trainable, span))
        return value

    def _unique(self, name: str) -> str:
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        return name if count == 0 else f"{name}@{count + 1}"


def _check_shared(wanted: tuple[WeightType, ...], given: tuple[Value, ...]) -> None:
    for weight, value in zip(wanted, given, strict=True):
        if weight.type != value.type:
            first, here = shape_text(value.type.shape), shape_text(weight.type.shape)
            raise ShapeError(f"its first call made {weight.name} {first}, but this operand needs {here}", 0)
