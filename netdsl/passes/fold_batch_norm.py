"""Batch norm, folded into the layer before it: both are affine, and the norm's numbers are known with the weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

from netdsl.ir.graph import Graph, Node, Value, users
from netdsl.ir.rewrite import Rewriter
from netdsl.ops.activation import Sqrt
from netdsl.ops.base import Op
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.elementwise import Add, Div, Mul, Scale, Shift, Sub
from netdsl.ops.linear import Fc
from netdsl.ops.norm import BatchNorm, BatchNormScale
from netdsl.ops.shape import Reshape
from netdsl.passes.manager import Remarks, in_words


@dataclass(frozen=True)
class FoldBatchNorm:
    """Folds `bn` into a `conv`, `upconv` or `fc` whose result nothing else reads; the arithmetic goes to the prelude.

    A norm *before* a convolution stays: the padding that the convolution adds is zero after the norm, not before.
    """

    name: ClassVar[str] = "fold-batch-norm"

    def run(self, graph: Graph, remarks: Remarks) -> Graph:
        """The graph with its foldable norms folded."""
        layers = _foldable(graph, remarks)
        gone = set(layers.values())
        rewriter = Rewriter(graph)
        known: dict[tuple[object, ...], tuple[Value, Value]] = {}
        for node in graph.nodes:
            if node in gone:
                continue
            if node not in layers:
                rewriter.add(rewriter.current(node))
                continue
            layer = rewriter.current(layers[node])
            key = (layer.op, layer.weights, node.op, node.weights)
            if key not in known:
                known[key] = _folded_weights(rewriter, layer, node)
            assert isinstance(layer.op, Conv | UpConv | Fc)
            # bn(W x + b) = (s W) x + (s (b - mean) + beta)
            inputs = (*layer.operands, *known[key])
            rewriter.add(replace(layer, op=replace(layer.op, bias=True), inputs=inputs, outputs=node.outputs))
        return rewriter.finish()


def _foldable(graph: Graph, remarks: Remarks) -> dict[Node, Node]:
    """The layer that each foldable norm goes into."""
    readers = users(graph)
    producers = {value: node for node in graph.nodes for value in node.outputs}
    layers = {}
    for norm in graph.nodes:
        layer = producers.get(norm.inputs[0])
        if not isinstance(norm.op, BatchNorm) or layer is None or not isinstance(layer.op, Conv | UpConv | Fc):
            continue
        (value,) = layer.outputs
        why = ""
        if isinstance(layer.op, Fc) and value.type.rank > 1:
            why = "the norm is over the first axis, the layer makes the last"
        elif value in graph.outputs:
            why = f"{layer.name} is a result"
        elif len(readers[value]) > 1:
            why = f"{layer.name} has {in_words(len(readers[value]))} users"
        if why:
            remarks.add(norm, f"{layer.op.word} {layer.name} keeps its batch norm: {why}")
        else:
            layers[norm] = layer
    return layers


def _folded_weights(rewriter: Rewriter, layer: Node, norm: Node) -> tuple[Value, Value]:
    affine = affine_form(rewriter, norm)
    weight, *bias = layer.weights
    per_output = _along_outputs(rewriter, layer, norm, weight, affine.factor)
    if isinstance(layer.op, UpConv) and layer.op.groups > 1:
        # in x out/g x K is g x in/g x out/g x K: the channels of a group lie side by side.
        inputs, outputs, *kernel = weight.type.shape
        groups = layer.op.groups
        apart = Reshape((groups, inputs // groups, outputs, *kernel))
        weight = rewriter.make(apart, (weight,), f"{layer.name}.grouped", norm, prelude=True)
    folded = rewriter.make(affine.times, (weight, per_output), f"{layer.name}.folded", norm, prelude=True)
    if folded.type != layer.weights[0].type:
        joined = Reshape(layer.weights[0].type.shape)
        folded = rewriter.make(joined, (folded,), f"{layer.name}.joined", norm, prelude=True)
    return folded, affine.offset(rewriter, norm, bias[0] if bias else None)


def _along_outputs(rewriter: Rewriter, layer: Node, norm: Node, weight: Value, factor: Value) -> Value:
    """The factor, shaped to multiply along the axis of `weight` that is the output channels."""
    rank = weight.type.rank
    if not isinstance(layer.op, UpConv):
        shape = (factor.type.size, *(1,) * (rank - 1))
    elif layer.op.groups == 1:
        shape = (1, factor.type.size, *(1,) * (rank - 2))
    else:
        shape = (layer.op.groups, 1, weight.type.shape[1], *(1,) * (rank - 2))
    return rewriter.make(Reshape(shape), (factor,), f"{norm.name}.spread", norm, prelude=True)


class Affine(NamedTuple):
    """A norm as `times(x, factor) + offset`: `times` is `mul`, or `div` where there is no learnt scale."""

    times: Op
    factor: Value
    mean: Value
    beta: Value | None

    def offset(self, rewriter: Rewriter, norm: Node, bias: Value | None = None) -> Value:
        """What is added: `times(bias - mean, factor) + beta`, in the prelude."""
        if bias is None:
            centre = rewriter.make(Scale(-1.0), (self.mean,), f"{norm.name}.centre", norm, prelude=True)
        else:
            centre = rewriter.make(Sub(), (bias, self.mean), f"{norm.name}.centre", norm, prelude=True)
        offset = rewriter.make(self.times, (centre, self.factor), f"{norm.name}.offset", norm, prelude=True)
        if self.beta is None:
            return offset
        return rewriter.make(Add(), (offset, self.beta), f"{norm.name}.offset", norm, prelude=True)


def affine_form(rewriter: Rewriter, norm: Node) -> Affine:
    """The factor of a norm, one number a channel, computed in the prelude.

    bn(x) = gamma (x - mean) / sqrt(var + eps) + beta
          = s x + (beta - s mean)                          with s = gamma / sqrt(var + eps)
    """
    assert isinstance(norm.op, BatchNorm)
    if norm.op.affine:
        gamma, beta, mean, var = norm.weights
        factor = rewriter.make(BatchNormScale(norm.op.eps), (gamma, var), f"{norm.name}.scale", norm, prelude=True)
        return Affine(Mul(), factor, mean, beta)
    mean, var = norm.weights
    raised = rewriter.make(Shift(norm.op.eps), (var,), f"{norm.name}.raised", norm, prelude=True)
    return Affine(Div(), rewriter.make(Sqrt(), (raised,), f"{norm.name}.root", norm, prelude=True), mean, None)
