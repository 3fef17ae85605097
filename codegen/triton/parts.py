"""Which values are stored inside a concatenation: those whose kernels take rows of channels with gaps between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netdsl.analysis.joined import Slice, joined_values
from netdsl.codegen.triton.expressions import EXPRESSIONS
from netdsl.ir.fused import Fused
from netdsl.ir.graph import Graph, Node, Value
from netdsl.ops.base import Op
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.maps import Crop, Pad, Shuffle, Upsample
from netdsl.ops.pieces import Concat, Split
from netdsl.ops.pieces import Slice as SliceAxis
from netdsl.ops.pool import Pool
from netdsl.tensor import Layout

WRITERS: tuple[type[Op], ...] = (
    Conv,
    UpConv,
    Pool,
    Concat,
    Crop,
    Pad,
    Shuffle,
    SliceAxis,
    Split,
    Upsample,
    *EXPRESSIONS,
)
"""Operators whose kernels write and read at any distance of two pixels; others take maps as they lie, in one piece."""
ALIGNMENT = 8
"""Elements that parts begin at multiples of: 16 bytes at least, as wide loads and the copy engine ask for."""


def with_parts(graph: Graph) -> tuple[Graph, dict[Value, Slice]]:
    """The graph with the distance of two pixels in the types of such values, and where each is stored."""
    slices = joined_values(graph, _fits)
    new = {value: Value(value.name, value.type._replace(pitch=at.whole.type.shape[0])) for value, at in slices.items()}
    nodes = tuple(
        replace(
            node,
            inputs=tuple(new.get(value, value) for value in node.inputs),
            outputs=tuple(new.get(value, value) for value in node.outputs),
        )
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes), {new[value]: at for value, at in slices.items()}


def _fits(value: Value, place: Slice, maker: Node, readers: Sequence[Node]) -> bool:
    """Whether kernels write and read a value there."""
    aligned = place.start % ALIGNMENT == place.whole.type.shape[0] % ALIGNMENT == 0
    return (
        aligned
        and value.type.layout is Layout.CHANNELS_LAST
        and value.type.dtype.is_float
        and isinstance(_anchor(maker), WRITERS)
        and not _is_reduction(maker)
        and all(isinstance(_anchor(reader), WRITERS) and not _is_reduction(reader) for reader in readers)
    )


def _is_reduction(node: Node) -> bool:
    """Whether one window is the whole map, which is another kernel's work."""
    op = _anchor(node)
    return isinstance(op, Pool) and op.kernel == node.operands[0].type.shape[1:]


def _anchor(node: Node) -> Op:
    return node.op.anchor if isinstance(node.op, Fused) else node.op
