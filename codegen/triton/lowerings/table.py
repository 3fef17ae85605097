"""Which lowering each operator has, written by hand."""

from __future__ import annotations

from collections.abc import Callable

from netdsl.codegen.triton.expressions import EXPRESSIONS
from netdsl.codegen.triton.lowerings import (
    attention,
    choice,
    conv,
    gemm,
    lrn,
    movement,
    pointwise,
    pool,
    recurrent,
    reduce,
    regions,
    sequence,
    upconv,
)
from netdsl.codegen.triton.planner import Planner
from netdsl.codegen.triton.site import Site
from netdsl.ops import maps, pieces, shape
from netdsl.ops.activation import LogSoftmax, Softmax
from netdsl.ops.attention import Attend
from netdsl.ops.base import Op
from netdsl.ops.choice import Gather, Nms, TopK
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.each import Each, Regroup
from netdsl.ops.linear import Fc, MatMul
from netdsl.ops.noise import Dropout, DropPath
from netdsl.ops.norm import LRN, GroupNorm, LayerNorm
from netdsl.ops.pool import AdaptivePool, Pool, Unpool
from netdsl.ops.recurrent import Recurrence
from netdsl.ops.reduce import Largest, Mean, Product, Smallest, Sum
from netdsl.ops.regions import RoiAlign, RoiPool
from netdsl.ops.sequence import Embed, Position
from netdsl.ops.style import Blur

Lowering = Callable[[Planner, Site], None]

LOWERINGS: dict[type[Op], Lowering] = {
    **dict.fromkeys(EXPRESSIONS, pointwise.elementwise),
    Conv: conv.conv,
    UpConv: upconv.upconv,
    Fc: gemm.fc,
    MatMul: gemm.matmul,
    Embed: sequence.embed,
    Position: sequence.position,
    Attend: attention.attend,
    Pool: pool.pool,
    AdaptivePool: pool.adaptive_pool,
    Unpool: pool.unpool,
    TopK: choice.top_k,
    Gather: choice.gather,
    Nms: choice.nms,
    RoiPool: regions.roi_pool,
    RoiAlign: regions.roi_align,
    Recurrence: recurrent.recurrence,
    Blur: movement.blur,
    LRN: lrn.lrn,
    LayerNorm: reduce.layer_norm,
    GroupNorm: reduce.group_norm,
    Softmax: reduce.softmax,
    LogSoftmax: reduce.softmax,
    Mean: reduce.reduce,
    Sum: reduce.reduce,
    Product: reduce.reduce,
    Largest: reduce.reduce,
    Smallest: reduce.reduce,
    Dropout: movement.identity,
    DropPath: movement.identity,
    Each: movement.regrouped,
    Regroup: movement.regrouped,
    shape.Flatten: movement.reshape,
    shape.Reshape: movement.reshape,
    shape.Transpose: movement.transpose,
    shape.Tokens: movement.tokens,
    maps.Pad: movement.pad,
    maps.Crop: movement.crop,
    pieces.Concat: movement.concat,
    pieces.Split: movement.split,
    pieces.Slice: movement.slice_axis,
    pieces.Take: movement.take,
    maps.Upsample: movement.upsample,
    maps.Shuffle: movement.shuffle,
    maps.PixelShuffle: movement.pixel_shuffle,
    shape.Relayout: movement.relayout,
}

UNSUPPORTED: dict[type[Op], str] = {}
"""Operators that this backend lacks, each with the reason."""
