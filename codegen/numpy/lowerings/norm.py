"""Normalisations, as they are at inference."""

from __future__ import annotations

from dataclasses import dataclass

from netdsl.codegen.numpy.calls import Call
from netdsl.codegen.numpy.lowerings.elementwise import Epsilon
from netdsl.codegen.numpy.storage import View, axis_in, channel_step, first, last, layout_of, stored
from netdsl.ir.graph import Node
from netdsl.ops.activation import LogSoftmax, Softmax
from netdsl.ops.norm import LRN, BatchNorm, BatchNormScale, GroupNorm, LayerNorm
from netdsl.tensor import Layout


@dataclass(frozen=True)
class Axis:
    """An axis, N counted."""

    axis: int


@dataclass(frozen=True)
class Neighbours:
    """Local response normalisation over `size` channels."""

    size: int
    alpha: float
    beta: float
    offset: float


@dataclass(frozen=True)
class AlongAxis:
    """Statistics along one axis, N counted."""

    axis: int
    eps: float


@dataclass(frozen=True)
class InGroups:
    """Statistics over groups of channels."""

    groups: int
    eps: float


def lrn(op: LRN, node: Node) -> Call:
    """Over the last axis, channels."""
    spec = Neighbours(op.size, op.alpha, op.beta, op.offset)
    return Call("local_response_norm", (last(node.inputs[0]),), (last(node.outputs[0]),), spec)


def layer_norm(op: LayerNorm, node: Node) -> Call:
    """Along the axis, wherever it is stored; weights get the axes that come after it."""
    weights, result = node.inputs[1:], node.outputs[0]
    axis = axis_in(result.type, op.axis, layout_of(result.type))
    after = result.type.rank - axis
    step = f"[:{', None' * after}]" if after else ""
    affine = tuple(View(weight).then(step) for weight in weights)
    written = (stored(node.outputs[0]),)
    return Call("layer_norm", (_like(node), *affine), written, AlongAxis(axis, op.eps), crew=True, tailed=True)


def group_norm(op: GroupNorm, node: Node) -> Call:
    """Over the last axis in groups, and all positions."""
    x, *weights = node.inputs
    affine = tuple(View(weight) for weight in weights)
    return Call("group_norm", (last(x), *affine), (last(node.outputs[0]),), InGroups(op.groups, op.eps))


def batch_norm(op: BatchNorm, node: Node) -> Call:
    """One that no pass has taken apart."""
    step = channel_step(node.outputs[0].type.rank, layout_of(node.outputs[0].type))
    weights = tuple(View(weight).then(step) for weight in node.weights)
    return Call("batch_norm", (_like(node), *weights), (stored(node.outputs[0]),), Epsilon(op.eps))


def batch_norm_scale(op: BatchNormScale, node: Node) -> Call:
    """Part of folding a batch norm; runs when the weights are loaded."""
    gamma, variance = node.inputs
    return Call(
        "batch_norm_scale", (View(gamma), View(variance)), (View(node.outputs[0]),), Epsilon(op.eps), returns=True
    )


def softmax(op: Softmax, node: Node) -> Call:
    """Along the axis, wherever it is stored."""
    result = node.outputs[0]
    axis = Axis(axis_in(result.type, op.axis, layout_of(result.type)))
    name = "log_softmax" if isinstance(op, LogSoftmax) else "softmax"
    return Call(name, (_like(node),), (stored(result),), axis)


def _like(node: Node) -> View:
    """The operand in the order of the result's storage."""
    x, result = node.inputs[0], node.outputs[0]
    return last(x) if layout_of(result.type) is Layout.CHANNELS_LAST else first(x)
