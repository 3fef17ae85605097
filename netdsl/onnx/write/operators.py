"""How each operator of the language is written in standard ONNX operators: one function, or one line of the table."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from netdsl.onnx.write import attention as write_attention
from netdsl.onnx.write import choice as write_choice
from netdsl.onnx.write import maps as write_maps
from netdsl.onnx.write import positions as write_positions
from netdsl.onnx.write import recurrent as write_recurrent
from netdsl.onnx.write import regions as write_regions
from netdsl.onnx.write import style as write_style
from netdsl.onnx.write.site import Site
from netdsl.ops import (
    activation,
    attention,
    choice,
    conv,
    each,
    elementwise,
    function,
    linear,
    maps,
    noise,
    norm,
    pieces,
    pool,
    recurrent,
    reduce,
    regions,
    sequence,
    shape,
    style,
)
from netdsl.ops.base import Op

Written = str | tuple[str, ...]
Lowering = Callable[..., Written]
"""Takes the resolved operator, its site, and the names of its operands and weights; returns those of its results."""


def fc(op: linear.Fc, at: Site, x: str, weight: str, *bias: str) -> str:
    """Gemm on vectors; on more axes the product with the transposed weight."""
    if at.rank == 2:
        return at("Gemm", x, weight, *bias, transB=1)
    y = at("MatMul", x, at("Transpose", weight, perm=(1, 0)))
    return at("Add", y, *bias) if bias else y


def matmul(op: linear.MatMul, at: Site, *operands: str) -> str:
    """MatMul, after swapping the last two axes where asked."""
    swapped = []
    for x, type, swap in zip(operands, at.types, (op.transpose_a, op.transpose_b), strict=True):
        rank = type.rank + (type.batch > 0)
        swapped.append(at("Transpose", x, perm=(*range(rank - 2), rank - 1, rank - 2)) if swap else x)
    return at("MatMul", *swapped)


def prelu(op: activation.PRelu, at: Site, x: str, weight: str) -> str:
    """PRelu, its slopes along the channels."""
    return at("PRelu", x, weight if op.single else at.per_channel(weight, at.rank - 2))


def dropout(op: noise.Dropout, at: Site, x: str) -> str:
    """Dropout, which does nothing at inference."""
    return at("Dropout", x, at.reals("ratio", op.p))


def drop_path(op: noise.DropPath, at: Site, x: str) -> str:
    """A factor of one for each sample, after Dropout: in training whole samples are dropped, and others grow."""
    samples = at("Shape", x, start=0, end=1)
    shape = at("Concat", samples, at.ints("ones", [1] * (at.rank - 1)), axis=0)
    return at("Mul", x, dropout(op, at, at("Expand", at.reals("one", np.ones([1] * at.rank)), shape)))


def joined(kind: str, variadic: str | None = None) -> Callable[..., str]:
    """An operator on two operands; more of them by its variadic form, or one after the other."""

    def write(op: Op, at: Site, *operands: str) -> str:
        rank = at.results[0].rank
        first, *rest = [_spread(at, x, index, rank) for index, x in enumerate(operands)]
        if variadic and len(rest) > 1:
            return at(variadic, first, *rest)
        for other in rest:
            first = at(kind, first, other)
        return first

    return write


def _spread(at: Site, x: str, index: int, rank: int) -> str:
    """An operand of fewer axes has a single element a sample, which gets as many axes as the others have."""
    type = at.types[index]
    return at.reshape(x, *[1] * rank) if type.batch and type.rank < rank else x


def div(op: elementwise.Div, at: Site, a: str, b: str) -> Written:
    """Div, after adding eps."""
    b = at("Add", b, at.reals("eps", op.eps)) if op.eps else b
    return joined("Div")(op, at, a, b)


def apply(op: function.Apply, at: Site, x: str) -> str:
    """An operator of its own; `trunc` has the sign of x and the whole part of its size."""
    if op.function == "trunc":
        return at("Mul", at("Sign", x), at("Floor", at("Abs", x)))
    return at(op.function.capitalize(), x)


RELATIONS = {
    "equal": "Equal",
    "less": "Less",
    "atmost": "LessOrEqual",
    "greater": "Greater",
    "atleast": "GreaterOrEqual",
}


def compare(op: function.Compare, at: Site, *operands: str) -> str:
    """A relation, and 1 where it holds; `unequal` is 0 where equal."""
    holds = joined(RELATIONS.get(op.relation, "Equal"))(op, at, *operands)
    one, zero = at.reals("one", 1.0), at.reals("zero", 0.0)
    return at("Where", holds, *((zero, one) if op.relation == "unequal" else (one, zero)))


def select(op: function.Select, at: Site, *operands: str) -> str:
    """Where, its operands the other way round where the mask is 0."""
    mask, a, b = (_spread(at, x, index, at.results[0].rank) for index, x in enumerate(operands))
    return at("Where", at("Equal", mask, at.reals("zero", 0.0)), b, a)


def reduced(kind: str) -> Lowering:
    """A reduction over axes."""

    def write(op: reduce.Reduce, at: Site, x: str) -> str:
        return at(kind, x, at.ints("axes", [1 + axis for axis in op.axis]), keepdims=int(op.keep))

    return write


def tokens(op: shape.Tokens, at: Site, x: str) -> str:
    """The positions as one axis, then before the channels."""
    channels, *spatial = at.types[0].shape
    line = x if len(spatial) == 1 else at.reshape(x, channels, prod(spatial))
    return at("Transpose", line, perm=(0, 2, 1))


def pad(op: maps.Pad, at: Site, x: str) -> str:
    """Pad, which lists every axis."""
    rank = len(op.padding) // 2
    pads = at.ints("pads", (0, 0, *op.padding[:rank], 0, 0, *op.padding[rank:]))
    if op.mode == "constant":
        return at("Pad", x, pads, at.reals("value", op.value))
    return at("Pad", x, pads, mode="edge" if op.mode == "replicate" else "reflect")


def crop(op: maps.Crop, at: Site, x: str, *like: str) -> str:
    """Slice of the spatial axes."""
    rank, spatial = len(op.padding) // 2, at.types[0].shape[1:]
    stops = [length - cut for length, cut in zip(spatial, op.padding[rank:], strict=True)]
    return _sliced(at, x, op.padding[:rank], stops, range(2, 2 + rank))


def slice_axis(op: pieces.Slice, at: Site, x: str) -> str:
    """Slice."""
    return _sliced(at, x, [op.start], [op.stop], [op.axis + 1], [op.step] if op.step > 1 else [])


def _sliced(at: Site, x: str, starts: Any, stops: Any, axes: Any, steps: Any = ()) -> str:
    more = [at.ints("steps", steps)] if steps else []
    return at("Slice", x, at.ints("starts", starts), at.ints("stops", stops), at.ints("axes", axes), *more)


def concat(op: pieces.Concat, at: Site, *operands: str) -> str:
    """Concat; what is the same for every sample is first repeated for each."""
    sampled = [x for x, type in zip(operands, at.types, strict=True) if type.batch]
    if sampled and len(sampled) < len(operands):
        rows = at("Shape", sampled[0], start=0, end=1)
        operands = tuple(
            x if type.batch else at("Expand", x, at("Concat", rows, at.ints("extents", type.shape), axis=0))
            for x, type in zip(operands, at.types, strict=True)
        )
    return at("Concat", *operands, axis=op.axis + 1)


def split(op: pieces.Split, at: Site, x: str) -> Written:
    """Split, with every size."""
    sizes = [result.shape[op.axis] for result in at.results]
    if len(sizes) == 1:
        return at("Identity", x)
    return at.several("Split", x, at.ints("sizes", sizes), outputs=len(sizes), axis=op.axis + 1)


def rows(op: each.Each | each.Regroup, at: Site, x: str) -> str:
    """A leading axis as rows of the batch, or back."""
    return at("Reshape", x, at.ints("shape", (-1, *at.results[0].shape)))


def shuffle(op: maps.Shuffle, at: Site, x: str) -> str:
    """The channels as a matrix, transposed."""
    channels, *rest = at.types[0].shape
    parts = at.reshape(x, op.groups, channels // op.groups, *rest)
    swapped = at("Transpose", parts, perm=(0, 2, 1, *range(3, 3 + len(rest))))
    return at.reshape(swapped, channels, *rest)


def _gelu(op: activation.Gelu, at: Site, x: str) -> str:
    return at("Gelu", x, approximate="tanh" if op.tanh else None)


def _clip(low: float, high: float, at: Site, x: str) -> str:
    return at("Clip", x, at.reals("low", low), at.reals("high", high))


def _plain(kind: str) -> Lowering:
    return lambda op, at, x: at(kind, x)


LOWERINGS: dict[type[Op], Lowering] = {
    conv.Conv: write_maps.conv,
    conv.UpConv: write_maps.upconv,
    linear.Fc: fc,
    linear.MatMul: matmul,
    sequence.Embed: lambda op, at, x, table: at("Gather", table, x, axis=0),
    sequence.Position: write_positions.position,
    sequence.SineTable: write_positions.sine_table,
    pool.Pool: write_maps.pool,
    pool.AdaptivePool: write_maps.adaptive_pool,
    pool.Unpool: write_maps.unpool,
    norm.BatchNorm: write_maps.batch_norm,
    norm.BatchNormScale: write_maps.batch_norm_scale,
    norm.LRN: write_maps.lrn,
    norm.LayerNorm: write_maps.layer_norm,
    norm.GroupNorm: write_maps.group_norm,
    activation.Relu: _plain("Relu"),
    activation.Relu6: lambda op, at, x: _clip(0, 6, at, x),
    activation.LeakyRelu: lambda op, at, x: at("LeakyRelu", x, alpha=op.slope),
    activation.PRelu: prelu,
    activation.Elu: lambda op, at, x: at("Elu", x, alpha=op.alpha),
    activation.Selu: _plain("Selu"),
    activation.Gelu: _gelu,
    activation.Silu: lambda op, at, x: at("Mul", x, at("Sigmoid", x)),
    activation.HardSwish: _plain("HardSwish"),
    activation.HardSigmoid: lambda op, at, x: at("HardSigmoid", x, alpha=1 / 6, beta=0.5),
    activation.Sigmoid: _plain("Sigmoid"),
    activation.Tanh: _plain("Tanh"),
    activation.Softplus: _plain("Softplus"),
    activation.Abs: _plain("Abs"),
    activation.Exp: _plain("Exp"),
    activation.Log: _plain("Log"),
    activation.Sqrt: _plain("Sqrt"),
    activation.Clamp: lambda op, at, x: _clip(op.low, op.high, at, x),
    activation.Softmax: lambda op, at, x: at("Softmax", x, axis=op.axis + 1),
    activation.LogSoftmax: lambda op, at, x: at("LogSoftmax", x, axis=op.axis + 1),
    noise.Dropout: dropout,
    noise.DropPath: drop_path,
    elementwise.Add: joined("Add", "Sum"),
    elementwise.Mul: joined("Mul"),
    elementwise.Sub: joined("Sub"),
    elementwise.Div: div,
    function.Apply: apply,
    function.Power: joined("Pow"),
    function.Compare: compare,
    function.Select: select,
    elementwise.Maximum: joined("Max", "Max"),
    elementwise.Minimum: joined("Min", "Min"),
    elementwise.Scale: lambda op, at, x: at("Mul", x, at.reals("factor", op.factor)),
    elementwise.Shift: lambda op, at, x: at("Add", x, at.reals("amount", op.amount)),
    reduce.Mean: reduced("ReduceMean"),
    reduce.Sum: reduced("ReduceSum"),
    reduce.Product: reduced("ReduceProd"),
    reduce.Largest: reduced("ReduceMax"),
    reduce.Smallest: reduced("ReduceMin"),
    shape.Flatten: lambda op, at, x: at("Flatten", x, axis=1),
    shape.Reshape: lambda op, at, x: at.reshape(x, *op.to),
    shape.Transpose: lambda op, at, x: at("Transpose", x, perm=(0, *(axis + 1 for axis in op.order))),
    shape.Tokens: tokens,
    maps.Pad: pad,
    maps.Crop: crop,
    pieces.Concat: concat,
    pieces.Split: split,
    pieces.Slice: slice_axis,
    pieces.Take: lambda op, at, x: at("Gather", x, at.ints("index", op.index), axis=op.axis + 1),
    maps.Upsample: write_maps.upsample,
    maps.Shuffle: shuffle,
    maps.PixelShuffle: lambda op, at, x: at("DepthToSpace", x, blocksize=op.factor, mode="CRD"),
    shape.Relayout: _plain("Identity"),
    attention.Attention: write_attention.attention,
    attention.Attend: write_attention.attend,
    regions.RoiPool: write_regions.roi_pool,
    regions.RoiAlign: write_regions.roi_align,
    choice.TopK: lambda op, at, x: at.several("TopK", x, at.ints("count", [op.count]), outputs=2, axis=op.axis + 1),
    choice.Gather: write_choice.gather,
    choice.Nms: write_choice.nms,
    each.Each: rows,
    each.Regroup: rows,
    recurrent.Lstm: write_recurrent.recurrent,
    recurrent.Gru: write_recurrent.recurrent,
    recurrent.Recurrence: write_recurrent.recurrence,
    style.ModConv: write_style.modconv,
    style.Blur: write_style.blur,
}

UNSUPPORTED: dict[type[Op], str] = {}
"""Operators that ONNX cannot say, with the reason."""

AS_IS: tuple[type[Op], ...] = (
    *(elementwise.Join, activation.Elementwise, linear.MatMul, norm.BatchNormScale, sequence.SineTable),
)
"""Operators that take what does not depend on the sample as it is, without an axis of samples."""
