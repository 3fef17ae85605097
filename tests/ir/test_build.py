"""The builder: names, weights, resolution, and its speed where layers repeat."""

from __future__ import annotations

import time

import pytest
from pace import pace

from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import InvalidGraph
from netdsl.ir.verify import verify
from netdsl.ops.base import ONES, ShapeError
from netdsl.ops.conv import Conv
from netdsl.ops.pieces import Split
from netdsl.tensor import TensorType


def test_weights_are_named_after_their_node() -> None:
    builder = GraphBuilder("tiny")
    x = builder.input("x", TensorType((3, 8, 8)))
    (y,) = builder.node(Conv(4, (3,), padding=(1,)), (x,), name="unit.c1", scope="unit")
    graph = builder.result("y", y).finish()
    verify(graph)
    assert [p.value.name for p in graph.parameters] == ["unit.c1.weight", "unit.c1.bias"]
    assert [p.value.type.shape for p in graph.parameters] == [(4, 3, 3, 3), (4,)]
    (node,) = graph.nodes
    assert node.op == Conv(4, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)), "resolved"
    assert (node.name, node.scope, node.outputs[0].name) == ("unit.c1", "unit", "unit.c1")
    assert node.operands == (x,)
    assert node.weights == tuple(p.value for p in graph.parameters)


def test_several_results_are_numbered() -> None:
    builder = GraphBuilder("split")
    x = builder.input("x", TensorType((4, 3)))
    outputs = builder.node(Split(2), (x,), name="halves")
    assert [value.name for value in outputs] == ["halves.0", "halves.1"]


def test_shared_weights_and_taken_names() -> None:
    builder = GraphBuilder("shared")
    x = builder.input("head", TensorType((4, 8, 8)))
    (y,) = builder.node(Conv(4, (1,)), (x,), name="head")
    (z,) = builder.node(Conv(4, (1,)), (y,), name="conv")
    (z,) = builder.node(Conv(4, (1,)), (z,), name="conv", shared="conv")
    graph = builder.result("z", z).finish()
    verify(graph)
    assert [node.outputs[0].name for node in graph.nodes] == ["head@2", "conv", "conv@2"]
    assert graph.nodes[1].weights == graph.nodes[2].weights
    assert [p.value.name for p in graph.parameters] == ["head.weight", "head.bias", "conv.weight", "conv.bias"]


def test_shared_weights_must_fit() -> None:
    builder = GraphBuilder("shared")
    x = builder.input("x", TensorType((4, 8, 8)))
    (y,) = builder.node(Conv(6, (1,)), (x,), name="conv")
    with pytest.raises(ShapeError, match="its first call made weight 6x4x1x1, but this operand needs 6x6x1x1"):
        builder.node(Conv(6, (1,)), (y,), name="again", shared="conv")


def test_a_key_is_taken_once() -> None:
    builder = GraphBuilder("twice")
    builder.parameter("w", (3,), ONES)
    with pytest.raises(InvalidGraph, match="two tensors are named w"):
        builder.parameter("w", (3,), ONES)


def test_a_layer_that_repeats_takes_microseconds() -> None:
    """10,000 layers are to be elaborated in 0.25 s; the bound here leaves room for a busy machine."""
    builder = GraphBuilder("deep")
    x = builder.input("x", TensorType((16, 8, 8)))
    times = []
    for repeat in range(5):
        start = time.process_time()
        for layer in range(1000):
            (x,) = builder.node(Conv(16, (3,), padding=(1,)), (x,), name=f"c{repeat}.{layer}")
        times.append(time.process_time() - start)
    assert min(times) < 1000 * 50e-6 * pace()
