"""What a graph costs: parameters, multiply-accumulates, operations and memory, layer by layer and in all.

Nothing is allocated: the numbers are computed from shapes, by the rule that each operator states.
"""

from __future__ import annotations

from typing import NamedTuple

from netdsl.analysis.liveness import activation_bytes, peak_activation_bytes
from netdsl.ir.graph import Graph, Node, Value
from netdsl.tensor import DType

WEIGHTED = {"conv": 1, "upconv": 1, "fc": 1, "attention": 2, "modconv": 1, "lstm": 1, "gru": 1}
"""Operators that count as layers in a network's depth, by their words: attention has one before and one after it."""


class LayerCost(NamedTuple):
    """One layer for a whole batch. A tensor of weights counts in the first layer that uses it."""

    node: Node
    params: int
    buffers: int
    macs: int
    flops: int
    weight_bytes: int
    activation_bytes: int


class Totals(NamedTuple):
    """The whole network for a whole batch, in the fields of `summary --format json`."""

    layers: int
    depth: int
    params: int
    trainable_params: int
    buffers: int
    macs: int
    flops: int
    weight_bytes: int
    largest_activation: int
    peak_activation_bytes: int


def layer_costs(graph: Graph, dtype: DType = DType.FLOAT32, batch: int = 1) -> list[LayerCost]:
    """The cost of every node, in order of execution."""
    unseen = {parameter.value: parameter for parameter in graph.parameters}
    costs = []
    for node in graph.nodes:
        params = buffers = weights = 0
        for value in node.inputs:
            parameter = unseen.pop(value, None)
            if parameter is None:
                continue
            size = value.type.size
            weights += activation_bytes(value.type, dtype)
            if parameter.trainable:
                params += size
            else:
                buffers += size
        outputs = tuple([value.type for value in node.outputs])
        work = node.op.cost(tuple([value.type for value in node.operands]), outputs)
        samples = batch if any(type.batch for type in outputs) else 1
        made = sum([activation_bytes(type, dtype, batch) for type in outputs])
        costs.append(LayerCost(node, params, buffers, work.macs * samples, work.flops * samples, weights, made))
    return costs


def totals(graph: Graph, costs: list[LayerCost], dtype: DType = DType.FLOAT32, batch: int = 1) -> Totals:
    """The sums, with the parameters that no layer uses, and what no sum gives: depth, largest tensor, peak memory."""
    parameters = [(parameter.value.type, parameter.trainable) for parameter in graph.parameters]
    trainable = sum(type.size for type, learns in parameters if learns)
    return Totals(
        layers=len(costs),
        depth=depth(graph),
        params=trainable,
        trainable_params=trainable,
        buffers=sum(type.size for type, learns in parameters if not learns),
        macs=sum(cost.macs for cost in costs),
        flops=sum(cost.flops for cost in costs),
        weight_bytes=sum(activation_bytes(type, dtype) for type, _ in parameters),
        largest_activation=max((_elements(value, batch) for value in _activations(graph)), default=0),
        peak_activation_bytes=peak_activation_bytes(graph, dtype, batch),
    )


def depth(graph: Graph) -> int:
    """Most weighted layers (convolutions, fully connected) on one path from an input to an output."""
    deepest: dict[Value, int] = {}
    for node in graph.nodes:
        here = max([deepest.get(value, 0) for value in node.inputs], default=0) + WEIGHTED.get(node.op.word, 0)
        for value in node.outputs:
            deepest[value] = here
    return max([deepest.get(value, 0) for value in graph.outputs], default=0)


def _activations(graph: Graph) -> list[Value]:
    return [*graph.inputs, *(value for node in graph.nodes for value in node.outputs)]


def _elements(value: Value, batch: int) -> int:
    return value.type.elements * (batch if value.type.batch else 1)
