"""Runs a graph node by node. `REFERENCE` says which function is which operator, written by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import DTypeLike

from netdsl.ir.fused import Fused
from netdsl.ir.graph import Graph, Node, Value
from netdsl.ops import activation as activation_ops
from netdsl.ops import elementwise as elementwise_ops
from netdsl.ops import function as function_ops
from netdsl.ops import reduce as reduce_ops
from netdsl.ops.attention import Attend, Attention
from netdsl.ops.base import Op, Types
from netdsl.ops.choice import Gather, Nms, TopK
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.each import Each, Regroup
from netdsl.ops.linear import Fc, MatMul
from netdsl.ops.maps import Crop, Pad, PixelShuffle, Shuffle, Upsample
from netdsl.ops.noise import Dropout, DropPath
from netdsl.ops.norm import LRN, BatchNorm, BatchNormScale, GroupNorm, LayerNorm
from netdsl.ops.pieces import Concat, Slice, Split, Take
from netdsl.ops.pool import AdaptivePool, Pool, Unpool
from netdsl.ops.recurrent import Gru, Lstm, Recurrence
from netdsl.ops.regions import RoiAlign, RoiPool
from netdsl.ops.sequence import Embed, Position, SineTable
from netdsl.ops.shape import Flatten, Relayout, Reshape, Tokens, Transpose
from netdsl.ops.style import Blur, ModConv
from netdsl.reference import (
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
from netdsl.reference.windows import Array

Arrays = tuple[Array, ...]

REFERENCE: dict[type[Op], Callable[..., Array | Arrays]] = {
    Conv: conv.conv,
    UpConv: conv.upconv,
    Pool: pool.pool,
    AdaptivePool: pool.adaptive_pool,
    Unpool: pool.unpool,
    Fc: linear.fc,
    MatMul: linear.matmul,
    Embed: sequence.embed,
    Position: sequence.position,
    SineTable: sequence.sine_table,
    Attention: attention.attention,
    Attend: attention.attend,
    Lstm: recurrent.layer,
    Gru: recurrent.layer,
    Recurrence: recurrent.recurrence,
    ModConv: style.modconv,
    Blur: style.blur,
    BatchNorm: norm.batch_norm,
    BatchNormScale: norm.batch_norm_scale,
    LRN: norm.lrn,
    LayerNorm: norm.layer_norm,
    GroupNorm: norm.group_norm,
    activation_ops.Relu: activation.relu,
    activation_ops.Relu6: activation.relu6,
    activation_ops.LeakyRelu: activation.leaky_relu,
    activation_ops.PRelu: activation.prelu,
    activation_ops.Elu: activation.elu,
    activation_ops.Selu: activation.selu,
    activation_ops.Gelu: activation.gelu,
    activation_ops.Silu: activation.silu,
    activation_ops.HardSwish: activation.hardswish,
    activation_ops.HardSigmoid: activation.hardsigmoid,
    activation_ops.Sigmoid: activation.sigmoid,
    activation_ops.Tanh: activation.tanh,
    activation_ops.Softplus: activation.softplus,
    activation_ops.Abs: activation.absolute,
    activation_ops.Exp: activation.exp,
    activation_ops.Log: activation.log,
    activation_ops.Sqrt: activation.square_root,
    activation_ops.Softmax: activation.softmax,
    activation_ops.LogSoftmax: activation.log_softmax,
    activation_ops.Clamp: activation.clamp,
    Dropout: noise.identity,
    DropPath: noise.identity,
    elementwise_ops.Add: elementwise.add,
    elementwise_ops.Mul: elementwise.mul,
    elementwise_ops.Sub: elementwise.sub,
    elementwise_ops.Div: elementwise.div,
    elementwise_ops.Maximum: elementwise.maximum,
    elementwise_ops.Minimum: elementwise.minimum,
    elementwise_ops.Scale: elementwise.scale,
    elementwise_ops.Shift: elementwise.shift,
    function_ops.Apply: function.apply,
    function_ops.Power: function.power,
    function_ops.Compare: function.compare,
    function_ops.Select: function.select,
    Flatten: shape.flatten,
    Reshape: shape.reshape,
    Transpose: shape.transpose,
    Tokens: shape.tokens,
    Pad: maps.pad,
    Crop: maps.crop,
    Concat: pieces.concat,
    Split: pieces.split,
    Slice: pieces.slice_axis,
    Take: pieces.take,
    Upsample: maps.upsample,
    Shuffle: maps.shuffle,
    PixelShuffle: maps.pixel_shuffle,
    Relayout: shape.relayout,
    Each: each.each,
    Regroup: each.regroup,
    TopK: choice.top_k,
    Gather: choice.gather,
    Nms: choice.nms,
    RoiPool: regions.roi_pool,
    RoiAlign: regions.roi_align,
    reduce_ops.Mean: reduce.mean,
    reduce_ops.Sum: reduce.total,
    reduce_ops.Product: reduce.product,
    reduce_ops.Largest: reduce.largest,
    reduce_ops.Smallest: reduce.smallest,
}


def interpret(
    graph: Graph, inputs: Mapping[str, Array], weights: Mapping[str, Array], dtype: DTypeLike = np.float32
) -> Arrays:
    """The results of a graph, all computed in `dtype` (float32 or float64).

    A value of shape `C x H x W` is an array `N x C x H x W` (N times its rows, where it has several for a sample); one
    that does not depend on the sample has no N. Inputs and weights are taken as right: `netdsl.weights` checks them.
    """
    given = {value: inputs[value.name] for value in graph.inputs}
    given |= {parameter.value: weights[parameter.value.name] for parameter in graph.parameters}
    known = {value: array.astype(dtype) if value.type.dtype.is_float else array for value, array in given.items()}
    return _run((*graph.walk(),), known, graph.outputs, dtype)


def evaluate(op: Op, operands: Iterable[Array], weights: Iterable[Array], types: Types) -> Arrays:
    """The results of one resolved operator on operands of these types, as the arrays that `interpret` passes around."""
    if isinstance(op, Fused):
        taken = (*op.body.inputs, *(parameter.value for parameter in op.body.parameters))
        return _run(op.body.nodes, dict(zip(taken, (*operands, *weights), strict=True)), op.body.outputs)
    rows = [array if type.batch else array[None] for array, type in zip(operands, types, strict=True)]
    with np.errstate(all="ignore"):  # overflow and 0 / 0 give infinities and NaN, as everywhere in IEEE 754
        result = REFERENCE[type(op)](op, *rows, *weights)
    results = result if isinstance(result, tuple) else (result,)
    return tuple(array if type.batch else array[0, ...] for array, type in zip(results, op.infer(types), strict=True))


def _run(
    nodes: tuple[Node, ...], known: dict[Value, Array], outputs: tuple[Value, ...], dtype: DTypeLike = np.float64
) -> Arrays:
    """`dtype` is that of what is made of nothing."""
    uses = Counter(outputs)
    for node in nodes:
        uses.update(node.inputs)
    for node in nodes:
        operands, weights = [known[value] for value in node.operands], [known[value] for value in node.weights]
        results = evaluate(node.op, operands, weights, tuple(value.type for value in node.operands))
        if not node.inputs:
            results = tuple(result.astype(dtype) for result in results)
        known.update(zip(node.outputs, results, strict=True))
        uses.subtract(node.inputs)
        for value in (*node.inputs, *node.outputs):
            if not uses[value]:
                known.pop(value, None)  # so that a deep network does not hold all of its activations
    return tuple(known[value] for value in outputs)
