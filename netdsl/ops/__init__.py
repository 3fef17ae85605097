"""What every operator means: one family a file. `ALL` is written by hand; every list of operators comes from it."""

from __future__ import annotations

from netdsl.ops.activation import (
    Abs,
    Clamp,
    Elu,
    Exp,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Log,
    LogSoftmax,
    PRelu,
    Relu,
    Relu6,
    Selu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Sqrt,
    Tanh,
)
from netdsl.ops.attention import Attend, Attention
from netdsl.ops.base import Op
from netdsl.ops.choice import Gather, Nms, TopK
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.each import Each, Regroup
from netdsl.ops.elementwise import Add, Div, Maximum, Minimum, Mul, Scale, Shift, Sub
from netdsl.ops.function import Apply, Compare, Power, Select
from netdsl.ops.linear import Fc, MatMul
from netdsl.ops.maps import Crop, Pad, PixelShuffle, Shuffle, Upsample
from netdsl.ops.noise import Dropout, DropPath
from netdsl.ops.norm import LRN, BatchNorm, BatchNormScale, GroupNorm, LayerNorm
from netdsl.ops.pieces import Concat, Slice, Split, Take
from netdsl.ops.pool import AdaptivePool, Pool, Unpool
from netdsl.ops.recurrent import Gru, Lstm, Recurrence
from netdsl.ops.reduce import Largest, Mean, Product, Smallest, Sum
from netdsl.ops.regions import RoiAlign, RoiPool
from netdsl.ops.sequence import Embed, Position, SineTable
from netdsl.ops.shape import Flatten, Relayout, Reshape, Tokens, Transpose
from netdsl.ops.style import Blur, ModConv

ALL: tuple[type[Op], ...] = (
    *(Conv, UpConv, Fc, MatMul),
    *(Embed, Position, SineTable, Attention, Attend),
    *(Pool, AdaptivePool, Unpool),
    *(BatchNorm, BatchNormScale, LRN, LayerNorm, GroupNorm),
    *(Relu, Relu6, LeakyRelu, PRelu, Elu, Selu, Gelu, Silu, HardSwish, HardSigmoid, Sigmoid, Tanh, Softplus),
    *(Abs, Exp, Log, Sqrt, Clamp, Softmax, LogSoftmax),
    *(Dropout, DropPath),
    *(Lstm, Gru, Recurrence),
    *(ModConv, Blur),
    *(Add, Mul, Sub, Div, Maximum, Minimum, Scale, Shift),
    *(Apply, Power, Compare, Select),
    *(Mean, Sum, Product, Largest, Smallest),
    *(Flatten, Reshape, Transpose, Tokens, Relayout),
    *(Pad, Crop, Upsample, Shuffle, PixelShuffle),
    *(Concat, Split, Slice, Take),
    *(Each, Regroup),
    *(RoiPool, RoiAlign),
    *(TopK, Gather, Nms),
)
"""Every operator but `fused`, which holds a graph and so lives in `netdsl.ir`."""

BY_WORD: dict[str, type[Op]] = {op.word: op for op in ALL}
