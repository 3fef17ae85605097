"""Layout: feature maps stored channels last (N H W C), as matrix units like them. Types say so; meanings stay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from netdsl.ir.fused import Fused
from netdsl.ir.graph import Graph, Node, Value, users
from netdsl.ir.rewrite import Rewriter
from netdsl.ir.verify import storage
from netdsl.ops.base import Op
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.linear import Fc
from netdsl.ops.maps import Crop, Pad, PixelShuffle, Shuffle, Upsample
from netdsl.ops.noise import Dropout, DropPath
from netdsl.ops.norm import LRN, BatchNorm, GroupNorm
from netdsl.ops.pieces import Concat, Slice, Split, Take
from netdsl.ops.pool import AdaptivePool, Pool, Unpool
from netdsl.ops.regions import RegionOp
from netdsl.ops.shape import Flatten, Relayout, Reshape, Tokens, Transpose
from netdsl.ops.style import Blur, ModConv
from netdsl.passes.fuse import ELEMENTWISE
from netdsl.passes.manager import Remarks
from netdsl.tensor import Layout

FIRST, LAST = Layout.CHANNELS_FIRST, Layout.CHANNELS_LAST

SPATIAL: tuple[type[Op], ...] = (
    Conv, UpConv, Pool, AdaptivePool, Unpool, BatchNorm, LRN, GroupNorm, Upsample, Shuffle, PixelShuffle, Pad, Crop,
    RegionOp,
    ModConv, Blur,
)  # fmt: skip
"""Operators on feature maps: they read and make them channels last, wherever their operands come from."""
FOLLOWERS: tuple[type[Op], ...] = (*ELEMENTWISE, Concat, Split, Slice, Take, Tokens, Dropout, DropPath)
"""Operators that do not care: channels last as soon as one operand is. All others take maps channels first."""


@dataclass(frozen=True)
class AssignLayout:
    """Stores the maps (`C x H x W`) that `spatial` operators make channels last, and what follows from them.

    `relayout` nodes copy at the borders: where an input enters, where a result leaves, where an operator needs the
    written order. Maps of one channel or one place lie the same in both orders: they stay channels first and need no
    copy. A flatten between a channels-last map and fully connected layers costs nothing: it takes the elements as they
    lie, and the columns of the weights are permuted in the prelude instead.
    """

    name: ClassVar[str] = "assign-layout"

    spatial: tuple[type[Op], ...] = SPATIAL
    followers: tuple[type[Op], ...] = FOLLOWERS

    def run(self, graph: Graph, remarks: Remarks) -> Graph:
        """The graph with every map's layout assigned."""
        walk = _Walk(graph)
        for node in graph.nodes:
            now = walk.rewriter.current(node)
            if isinstance(now.op, Relayout) or _is_view(now):
                walk.rewriter.add(now)
            elif walk.absorbs(node, now):
                walk.flatten_as_it_lies(now)
            else:
                walk.assign(node, now, self._layout(now))
        return walk.finish()

    def _layout(self, node: Node) -> Layout:
        op = node.op.anchor if isinstance(node.op, Fused) else node.op
        if isinstance(op, self.spatial):
            return LAST
        follows = isinstance(op, self.followers) and any(storage(value.type) is LAST for value in node.operands)
        return LAST if follows else FIRST


class _Walk:
    def __init__(self, graph: Graph) -> None:
        self.rewriter = Rewriter(graph)
        self.readers = users(graph)
        self.results = set(graph.outputs)
        self.copies: dict[tuple[Value, Layout], Value] = {}
        self.flat: dict[Value, tuple[int, ...]] = {}
        self.permuted: dict[tuple[Value, tuple[int, ...]], Value] = {}

    def assign(self, old: Node, now: Node, layout: Layout) -> None:
        """Add a node whose maps are all in `layout`."""
        inputs = [self.stored(value, layout, now) for value in now.operands] + list(now.weights)
        if now.inputs[0] in self.flat:
            count = len(now.operands)
            inputs[count] = self.permuted_columns(inputs[count], self.flat[now.inputs[0]], now)
        outputs = []
        for value in old.outputs:
            type = value.type._replace(layout=layout)
            type = type if storage(type) else type._replace(layout=FIRST)
            outputs.append(value if type == value.type else Value(value.name, type))
            self.rewriter.stand_for(value, outputs[-1])
        same = tuple(inputs) == now.inputs and tuple(outputs) == now.outputs
        self.rewriter.add(now if same else replace(now, inputs=tuple(inputs), outputs=tuple(outputs)))

    def stored(self, value: Value, layout: Layout, reader: Node) -> Value:
        """The value in a storage order, copied if need be."""
        if storage(value.type) in (None, layout):
            return value
        key = (value, layout)
        if key not in self.copies:
            name = f"{value.name}.{layout.value}"
            copy = self.rewriter.fresh(name, value.type._replace(layout=layout))
            where = (copy.name, reader.scope, reader.span, reader.frame)
            self.rewriter.add(Node(Relayout(layout.value), (value,), (copy,), *where))
            self.copies[key] = copy
        return self.copies[key]

    def absorbs(self, old: Node, now: Node) -> bool:
        """Whether a node flattens a channels-last map for fully connected layers alone."""
        if not isinstance(now.op, Flatten) or storage(now.inputs[0].type) is not LAST:
            return False
        (flat,) = old.outputs
        return flat not in self.results and all(
            isinstance(reader.op.anchor if isinstance(reader.op, Fused) else reader.op, Fc)
            and reader.inputs.index(flat) == 0
            and _reads(reader, flat) == 1
            for reader in self.readers.get(flat, ())
        )

    def flatten_as_it_lies(self, node: Node) -> None:
        """Flatten H x W x C, which is how the map lies in memory: the transpose moves nothing.

        fc(flatten(x), W) = fc(flatten(transpose(x)), W P) where P permutes columns as the transpose does elements
        """
        (x,), (flat,) = node.inputs, node.outputs
        channels, height, width = x.type.shape
        view = self.rewriter.make(Transpose((1, 2, 0)), (x,), f"{node.name}.view", node)
        self.rewriter.add(replace(node, inputs=(view,)))
        self.flat[flat] = (channels, height, width)

    def permuted_columns(self, weight: Value, shape: tuple[int, ...], layer: Node) -> Value:
        """`out x CHW -> out x HWC`, in the prelude."""
        key = (weight, shape)
        if key not in self.permuted:
            made = weight
            for op in (Reshape((weight.type.shape[0], *shape)), Transpose((0, 2, 3, 1)), Reshape(weight.type.shape)):
                made = self.rewriter.make(op, (made,), f"{layer.name}.permuted", layer, prelude=True)
            self.permuted[key] = made
        return self.permuted[key]

    def finish(self) -> Graph:
        """The new graph, its results channels first."""
        for old in self.rewriter.graph.outputs:
            (value,) = self.rewriter.values((old,))
            if maker := self.rewriter.producers.get(value):
                self.rewriter.stand_for(old, self.stored(value, FIRST, maker))
        return self.rewriter.finish()


def _reads(node: Node, value: Value) -> int:
    """How often a node reads a value; the layers after a fused node's anchor may read it as well."""
    if not isinstance(node.op, Fused):
        return node.inputs.count(value)
    inside = node.op.body.inputs[node.inputs.index(value)]
    return sum([item.inputs.count(inside) for item in node.op.body.nodes])


def _is_view(node: Node) -> bool:
    """Whether a node is the transpose of an earlier `flatten_as_it_lies`."""
    return isinstance(node.op, Transpose) and node.op.order == (1, 2, 0) and storage(node.inputs[0].type) is LAST
