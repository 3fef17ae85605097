"""Concatenation without copies: what is written inside its result, between margins of NaN, and read there."""

from __future__ import annotations

import pytest
from interpreted import Interpreter, SmallTiling, compare
from test_triton_tma import stored

from netdsl.codegen.triton.backend import compile_graph
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph
from netdsl.ops import Add, BatchNorm, Concat, Conv, Crop, Mean, Pool, Relu, UpConv
from netdsl.ops.base import ONES
from netdsl.tensor import DType, TensorType

DTYPES = [(DType.FLOAT32, 80), (DType.TF32, 90), (DType.FLOAT16, 90)]


def branches() -> Graph:
    """Every kernel that writes a part: convolutions of every kind, pooling, pointwise ones; and a part of a part."""
    builder = GraphBuilder("Branches")
    x = stored(builder, "x", 16, 6, 5)
    parts = []
    ops = (Conv(8, (1,)), Conv(24, (3,), padding=(1,)), Conv(16, (3,), padding=(1,), groups=16))
    for index, op in enumerate((*ops, Pool("max", (3,), (1,), (1,)))):
        (y,) = builder.node(op, (x,), name=f"branch{index}")
        if index == 1:
            (y,) = builder.node(Relu(), (y,), name="relu")
        parts.append(y)
    (inner,) = builder.node(Concat(), parts[:2], name="inner")
    (y,) = builder.node(Concat(), (inner, *parts[2:]), name="join")
    for index, op in enumerate((Conv(24, (3,), padding=(1,)), Conv(8, (1,)), Pool("avg", (2,)))):
        (z,) = builder.node(op, (inner,), name=f"reader{index}")
        builder.result(f"z{index}", z)
    (crop,) = builder.node(Crop((6, 4)), (y,), name="crop")
    (up,) = builder.node(UpConv(8, (2,), (2,)), (z,), name="up")
    (sum,) = builder.node(Add(), (up, up), name="sum")
    (z,) = builder.node(Concat(), (crop, up, sum), name="u")
    (z,) = builder.node(Conv(16, (1,)), (z,), name="after")
    builder.result("joined", y)
    return builder.result("y", z).finish()


def growing() -> Graph:
    """A list that grows, each of whose beginnings is read through a norm, as in DenseNet; its end is a result."""
    builder = GraphBuilder("Growing")
    y = stored(builder, "x", 16, 4, 5)
    for index in range(3):
        (z,) = builder.node(BatchNorm(), (y,), name=f"norm{index}")
        (z,) = builder.node(Relu(), (z,), name=f"relu{index}")
        (z,) = builder.node(Conv(8, (3,), padding=(1,)), (z,), name=f"conv{index}")
        (y,) = builder.node(Concat(), (y, z), name=f"join{index}")
    (y,) = builder.node(Relu(), (y,), name="relu")
    return builder.result("y", y).finish()


def left_over() -> Graph:
    """What would begin where no wide load does, second places of a value, and weights: they are copied."""
    builder = GraphBuilder("Left")
    image = builder.input("image", TensorType((8, 4, 4)))
    x = stored(builder, "x", 16, 4, 4)
    (a,) = builder.node(Conv(8, (1,)), (x,), name="a")
    (b,) = builder.node(Conv(12, (1,)), (x,), name="b")
    (c,) = builder.node(Conv(12, (1,)), (x,), name="c")
    (mean,) = builder.node(Mean((1, 2)), (b,), name="mean")
    table = builder.parameter("table", (8, 4, 4), ONES)
    (y,) = builder.node(Concat(), (image, a, b, c, a, table), name="join")
    (z,) = builder.node(Conv(32, (1,)), (x,), name="z")
    (narrow,) = builder.node(Conv(20, (1,)), (x,), name="narrow")
    (odd,) = builder.node(Concat(), (narrow, narrow), name="odd")
    (sum,) = builder.node(Add(), (a, a), name="sum")
    for index, value in enumerate((mean, y, z, odd, sum)):
        builder.result(f"y{index}", value)
    return builder.finish()


@pytest.mark.triton
@pytest.mark.parametrize(("dtype", "target"), DTYPES, ids=str)
@pytest.mark.parametrize("graph", [branches, growing, left_over])
def test_parts_agree(interpreter: Interpreter, graph: object, dtype: DType, target: int) -> None:
    assert callable(graph)
    compare(interpreter, graph(), dtype, 3, target=target, tiling=SmallTiling(), least=0.5)


def test_what_is_stored_in_place_is_not_copied() -> None:
    kernels = [compile_graph(graph()).source.count("concat_") for graph in (branches, growing)]
    assert kernels == [0, 0]
    passes = compile_graph(left_over()).source.partition("def forward")[2]
    assert passes.count(", copy_part_") == 4, "what would begin between wide loads, two second places, a weight"
