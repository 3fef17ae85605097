"""Several operations in one kernel: an anchor and the elementwise operations on its result."""

from __future__ import annotations

from functools import cache, cached_property
from typing import ClassVar

from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph, Value
from netdsl.ops.base import Attr, Cost, Op, Sample, ShapeError, Types, Weight, Window, feature_map, operator
from netdsl.ops.conv import Conv
from netdsl.ops.elementwise import Add


@operator
class Fused(Op):
    """The operations of `body` as one: its first node is the anchor, each later one is elementwise on the one before.

    The body's inputs are the operands and its parameters the weights, both in order; names inside are local, so that
    equal layers have equal bodies. Its types are those of the outside with the layout left out. What it computes is
    the body, interpreted.

    Cost: the sum over the body.
    """

    word: ClassVar[str] = "fused"
    operands: ClassVar[tuple[int, int | None]] = (1, None)
    written: ClassVar[bool] = False

    body: Graph

    @property
    def anchor(self) -> Op:
        """The operator of the first node."""
        return self.body.nodes[0].op

    @classmethod
    @cache
    def schema(cls) -> tuple[Attr, ...]:
        """No attributes: the text form nests the body instead."""
        return ()

    def wanted(self) -> tuple[int, int | None]:
        """As many operands as the body has inputs."""
        return len(self.body.inputs), len(self.body.inputs)

    def weights(self, inputs: Types) -> tuple[Weight, ...]:
        """The parameters of the body, in order."""
        return tuple(Weight(p.value.name, p.value.type.shape, p.init, p.trainable) for p in self.body.parameters)

    def infer(self, inputs: Types) -> Types:
        """The types of the body's results; the operands must be what it was made for, but for their layout."""
        for index, (value, operand) in enumerate(zip(self.body.inputs, inputs, strict=True)):
            if value.type != operand._replace(layout=value.type.layout):
                raise ShapeError(f"was fused for {value.type}, but this operand is {operand}", index)
        return tuple(value.type for value in self.body.outputs)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """The sum over the body."""
        costs = [
            node.op.cost(tuple(v.type for v in node.operands), tuple(v.type for v in node.outputs))
            for node in self.body.nodes
        ]
        return Cost(sum(cost.macs for cost in costs), sum(cost.flops for cost in costs))

    def window(self, inputs: Types) -> Window | None:
        """The anchor's window: the rest is elementwise."""
        first = self.body.nodes[0]
        return first.op.window(tuple(value.type for value in first.operands))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """A convolution with a residual connection."""
        image = feature_map(4, 7, 5)
        builder = GraphBuilder("conv_add")
        x, shortcut = builder.input("x0", image), builder.input("x1", image)
        (y,) = builder.node(Conv(4, (3,), padding=(1,)), (x,), name="conv")
        (y,) = builder.node(Add(), (y, shortcut), name="add")
        return (Sample("residual", cls(builder.result("y", y).finish()), (image, image)),)

    @cached_property
    def _key(self) -> tuple[object, ...]:
        """The body without its names."""
        places: dict[Value, int] = {}
        for value in (*self.body.inputs, *(parameter.value for parameter in self.body.parameters)):
            places[value] = len(places)
        nodes = []
        for node in self.body.nodes:
            nodes.append((node.op, tuple(places[value] for value in node.inputs)))
            for value in node.outputs:
                places[value] = len(places)
        results = tuple(places[value] for value in self.body.outputs)
        return (*(value.type for value in places), *nodes, results)

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Fused) else NotImplemented

    @cached_property
    def _hash(self) -> int:
        return hash(self._key)

    def __hash__(self) -> int:
        return self._hash
