"""The IR: frozen, ordered, in single-assignment form. Values are compared by identity, so names and places survive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from netdsl.diagnostics import Frame
from netdsl.ops.base import Init, Op, Types
from netdsl.source import Span
from netdsl.tensor import TensorType


class InvalidGraph(Exception):
    """A graph breaks the rules of the IR: a bug of netdsl's own, never a user's mistake."""


@dataclass(frozen=True, eq=False, slots=True)
class Value:
    """A tensor with a name that is unique in its graph."""

    name: str
    type: TensorType

    def __repr__(self) -> str:
        return f"%{self.name}: {self.type}"


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """One operation. `inputs` are the operands, then the weights in the order of `op.weights`.

    name    address of the layer in the text: `resnet.unit2.3.1.conv3`; its weights are `<name>.weight` and so on.
    scope   the part of the name that its block calls make: `resnet.unit2.3.1`; tables fold by it.
    span    the step in the `.net` text; None for what a pass made.
    frame   the block calls that led there.
    shared  name of the first node that uses the same weights, where a `share` is called again.
    """

    op: Op
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    name: str
    scope: str = ""
    span: Span | None = None
    frame: Frame | None = None
    shared: str | None = None

    @property
    def operands(self) -> tuple[Value, ...]:
        """The inputs that are not weights."""
        return self.inputs[: operand_count(self.op, tuple([value.type for value in self.inputs]))]

    @property
    def weights(self) -> tuple[Value, ...]:
        """The inputs that are weights, in the order of `op.weights`."""
        return self.inputs[operand_count(self.op, tuple([value.type for value in self.inputs])) :]


@dataclass(frozen=True, eq=False, slots=True)
class Parameter:
    """A weight as the safetensors file holds it: `value.name` is its key, `value.type.batch` is 0."""

    value: Value
    init: Init
    trainable: bool = True
    span: Span | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Graph:
    """A network. `prelude` is run once, on weights alone, when they are loaded; `nodes` run for every input.

    Both lists are in an order in which every value is defined before it is used. `nodes` may use inputs, parameters and
    what the prelude makes. `results` pairs each output with the name that the text gave it.
    """

    name: str
    inputs: tuple[Value, ...]
    parameters: tuple[Parameter, ...]
    nodes: tuple[Node, ...]
    results: tuple[tuple[str, Value], ...]
    prelude: tuple[Node, ...] = ()
    span: Span | None = field(default=None)

    @property
    def outputs(self) -> tuple[Value, ...]:
        """The results without their names."""
        return tuple(value for _, value in self.results)

    def walk(self) -> Iterator[Node]:
        """The prelude's nodes, then the others, in order of execution."""
        yield from self.prelude
        yield from self.nodes


def operand_count(op: Op, inputs: Types) -> int:
    """How many of a node's inputs are operands; those after them are weights. Raises InvalidGraph."""
    least, most = op.wanted()
    given = len(inputs)
    if least == most and given >= least:
        return least
    for count in range(given if most is None else min(given, most), least - 1, -1):
        if len(op.weights(inputs[:count])) == given - count:
            return count
    raise InvalidGraph(
        f"{op.word} takes {least} to {most or 'any number of'} operands and weights, but has {given} inputs"
    )


def users(graph: Graph) -> dict[Value, list[Node]]:
    """The nodes that read each value, computed afresh; graph outputs are not among them."""
    result: dict[Value, list[Node]] = {}
    for node in graph.walk():
        for value in node.inputs:
            result.setdefault(value, []).append(node)
    return result
