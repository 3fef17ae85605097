"""Which values this backend stores inside a concatenation: those whose kernels take rows with gaps between them."""

from __future__ import annotations

from collections.abc import Sequence

from netdsl.analysis.joined import Slice
from netdsl.ir.fused import Fused
from netdsl.ir.graph import Node, Value
from netdsl.ops.base import Op
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.maps import Crop, Upsample
from netdsl.ops.pieces import Concat, Split
from netdsl.ops.pieces import Slice as SliceAxis
from netdsl.ops.pool import Pool
from netdsl.ops.shape import Relayout
from netdsl.passes.fuse import ELEMENTWISE

WRITERS: tuple[type[Op], ...] = (Conv, UpConv, Pool, Concat, Crop, Relayout, SliceAxis, Split, Upsample, *ELEMENTWISE)
"""Operators whose kernels write rows, whatever lies between; others reshape their result, which takes one piece."""


def can_be_part(value: Value, place: Slice, maker: Node, readers: Sequence[Node]) -> bool:
    """Whether a value may have gaps between its rows. Depthwise kernels work across rows."""
    return isinstance(_anchor(maker), WRITERS) and not any(map(_is_depthwise, (maker, *readers)))


def _is_depthwise(node: Node) -> bool:
    op = _anchor(node)
    return isinstance(op, Conv) and 1 < op.groups == op.out


def _anchor(node: Node) -> Op:
    return node.op.anchor if isinstance(node.op, Fused) else node.op
