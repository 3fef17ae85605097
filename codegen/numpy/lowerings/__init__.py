"""Which kernel computes which operator: one table. Elementwise operators have a table of their own."""

from __future__ import annotations

from collections.abc import Callable

from netdsl.codegen.numpy.calls import Call
from netdsl.codegen.numpy.lowerings import (
    attention,
    choice,
    conv,
    linear,
    norm,
    pool,
    recurrent,
    reduce,
    regions,
    sequence,
    shape,
    style,
)
from netdsl.codegen.numpy.lowerings.elementwise import JOINED, UNARY
from netdsl.ir.fused import Fused
from netdsl.ops.activation import LogSoftmax, PRelu, Softmax
from netdsl.ops.attention import Attend
from netdsl.ops.base import Op
from netdsl.ops.choice import Gather, Nms, TopK
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.each import Each, Regroup
from netdsl.ops.linear import Fc, MatMul
from netdsl.ops.maps import Crop, Pad, PixelShuffle, Shuffle, Upsample
from netdsl.ops.norm import LRN, BatchNorm, BatchNormScale, GroupNorm, LayerNorm
from netdsl.ops.pieces import Concat, Slice, Split, Take
from netdsl.ops.pool import AdaptivePool, Pool, Unpool
from netdsl.ops.recurrent import Recurrence
from netdsl.ops.reduce import Largest, Mean, Product, Smallest, Sum
from netdsl.ops.regions import RoiAlign, RoiPool
from netdsl.ops.sequence import Embed, Position, SineTable
from netdsl.ops.shape import Flatten, Relayout, Reshape, Tokens, Transpose
from netdsl.ops.style import Blur

Lowering = Callable[..., Call | tuple[Call, ...]]
"""Of an operator and its node; convolutions also take what was measured (`Tuned`)."""

LOWERINGS: dict[type[Op], Lowering] = {
    Conv: conv.conv,
    UpConv: conv.upconv,
    Pool: pool.pool,
    AdaptivePool: pool.adaptive_pool,
    Unpool: pool.unpool,
    TopK: choice.top_k,
    Gather: choice.gather,
    Nms: choice.nms,
    RoiPool: regions.roi_pool,
    RoiAlign: regions.roi_align,
    Fc: linear.fc,
    MatMul: linear.matmul,
    Embed: sequence.embed,
    Position: sequence.position,
    SineTable: sequence.sine_table,
    Attend: attention.attend,
    Recurrence: recurrent.recurrence,
    Blur: style.blur,
    BatchNorm: norm.batch_norm,
    BatchNormScale: norm.batch_norm_scale,
    LRN: norm.lrn,
    LayerNorm: norm.layer_norm,
    GroupNorm: norm.group_norm,
    Softmax: norm.softmax,
    LogSoftmax: norm.softmax,
    Flatten: shape.same_elements,
    Reshape: shape.same_elements,
    Relayout: shape.same_elements,
    Each: shape.regrouped,
    Regroup: shape.regrouped,
    Transpose: shape.transpose,
    Tokens: shape.tokens,
    Pad: shape.pad,
    Crop: shape.crop,
    Concat: shape.concat,
    Split: shape.split,
    Slice: shape.slice_axis,
    Take: shape.take,
    Upsample: shape.upsample,
    Shuffle: shape.shuffle,
    PixelShuffle: shape.pixel_shuffle,
    Mean: reduce.reduction,
    Sum: reduce.reduction,
    Product: reduce.reduction,
    Largest: reduce.reduction,
    Smallest: reduce.reduction,
}
"""Operators that are calls of kernels."""

LOWERED: frozenset[type[Op]] = frozenset((*LOWERINGS, *UNARY, *JOINED, PRelu, Fused))
"""All operators that this backend computes."""

UNSUPPORTED: dict[type[Op], str] = {}
"""Operators that it does not, each with the reason."""
