"""Simplification: what does nothing at inference goes, and what undoes or repeats what came before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from netdsl.ir.graph import Graph, Node, Value
from netdsl.ir.rewrite import Rewriter
from netdsl.ops.activation import Abs, Clamp, Relu, Relu6
from netdsl.ops.base import Op
from netdsl.ops.conv import Conv
from netdsl.ops.each import Each, Regroup
from netdsl.ops.elementwise import Scale, Shift
from netdsl.ops.maps import Crop, Pad, PixelShuffle, Shuffle, Upsample
from netdsl.ops.noise import Dropout, DropPath
from netdsl.ops.pieces import Slice
from netdsl.ops.pool import AdaptivePool, Pool
from netdsl.ops.shape import Flatten, Relayout, Reshape, Transpose
from netdsl.passes.manager import Remarks
from netdsl.tensor import Layout

Identity = Callable[[Any, Node], bool]
Rule = Callable[[Node, Node], Node | Value | None]


@dataclass(frozen=True)
class Simplify:
    """One walk, in which each node sees its operands already simplified; the equations stand above their rules."""

    name: ClassVar[str] = "simplify"

    def run(self, graph: Graph, remarks: Remarks) -> Graph:
        """The simplified graph; what nothing reads any more is left to dead code."""
        rewriter = Rewriter(graph)
        for node in graph.nodes:
            result = _simplest(rewriter, rewriter.current(node))
            if isinstance(result, Value):
                rewriter.stand_for(node.outputs[0], result)
            else:
                rewriter.add(result)
        return rewriter.finish()


def _simplest(rewriter: Rewriter, node: Node) -> Node | Value:
    """The node after all rules that apply, or the earlier value that it equals."""
    while True:
        if _is_identity(node):
            return node.inputs[0]
        before = rewriter.producers.get(node.inputs[0]) if node.inputs else None
        result = _combined(node, before) if before else None
        if result is None:
            return node
        if isinstance(result, Value):
            return result
        node = result


def _is_identity(node: Node) -> bool:
    """f(x) = x."""
    test = IDENTITIES.get(type(node.op))
    return test is not None and node.inputs[0].type == node.outputs[0].type and test(node.op, node)


IDENTITIES: dict[type[Op], Identity] = {
    Dropout: lambda op, node: True,
    DropPath: lambda op, node: True,
    Reshape: lambda op, node: True,
    Flatten: lambda op, node: True,
    Crop: lambda op, node: True,
    Upsample: lambda op, node: True,
    AdaptivePool: lambda op, node: True,
    Relayout: lambda op, node: True,
    Slice: lambda op, node: op.step == 1,
    Pad: lambda op, node: not any(op.padding),
    Scale: lambda op, node: op.factor == 1,
    Shift: lambda op, node: op.amount == 0,
    Shuffle: lambda op, node: op.groups == 1,
    PixelShuffle: lambda op, node: op.factor == 1,
    Transpose: lambda op, node: op.order == tuple(range(node.inputs[0].type.rank)),
    Pool: lambda op, node: len(node.outputs) == 1 and set(op.kernel) | set(op.stride) == {1} and not any(op.padding),
}
"""Operators that change nothing if the type stays the same and the test holds."""


def _combined(node: Node, before: Node) -> Node | Value | None:
    """What a node and the producer of its first operand make together."""
    op, first = node.op, before.op
    # relu(relu(x)) = relu(x), and so for every f with f(f(x)) = f(x)
    if isinstance(op, Relu | Relu6 | Abs | Clamp) and op == first:
        return before.outputs[0]
    # relu(relu6(x)) = relu6(x)
    if isinstance(op, Relu) and isinstance(first, Relu6):
        return before.outputs[0]
    # each(regroup(x)) = x: the rows that were put together part again
    if isinstance(op, Each) and isinstance(first, Regroup):
        return before.inputs[0]
    # reshape(reshape(x)) = reshape(x): elements keep their order
    if isinstance(op, Reshape | Flatten) and isinstance(first, Reshape | Flatten):
        return replace(node, inputs=before.inputs)
    # transpose(transpose(x, a), b) = transpose(x, a[b]), unless a is how a channels-last map is read as it lies
    if isinstance(op, Transpose) and isinstance(first, Transpose) and not _reads_channels_last(before):
        order = tuple(first.order[axis] for axis in op.order)
        return replace(node, op=replace(op, order=order), inputs=before.inputs)
    # conv(pad(x, q), p) = conv(x, p + q) for zeros
    if isinstance(op, Conv) and isinstance(first, Pad) and first.mode == "constant" and first.value == 0:
        if min(first.padding) < 0 or len(first.padding) != len(op.padding):
            return None
        padding = tuple(p + q for p, q in zip(op.padding, first.padding, strict=True))
        return replace(node, op=replace(op, padding=padding), inputs=(*before.inputs, *node.inputs[1:]))
    return None


def _reads_channels_last(node: Node) -> bool:
    return node.inputs[0].type.layout is Layout.CHANNELS_LAST
