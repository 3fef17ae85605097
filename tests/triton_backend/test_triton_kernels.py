"""Kernels at the edges of their tiles, tails of every form, whole small nets: interpreted, against the reference."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from interpreted import Interpreter, SmallTiling, compare, difference, random_inputs, random_weights
from small_nets import NETS, make, single

from netdsl.codegen.triton.backend import compile_graph
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph
from netdsl.ops import (
    Add,
    Concat,
    Conv,
    Div,
    Fc,
    GroupNorm,
    LayerNorm,
    MatMul,
    Mean,
    Mul,
    Pool,
    PRelu,
    Relu,
    Reshape,
    Sigmoid,
    Softmax,
    Sub,
    UpConv,
)
from netdsl.ops.base import ONES, Op
from netdsl.tensor import DType, TensorType

pytestmark = pytest.mark.triton
DTYPES = [DType.FLOAT32, DType.FLOAT16]
SPLIT = [(DType.FLOAT32, 3), (DType.FLOAT16, 1)]
"""Element types, and how many programs share a depth."""
EDGES = [1, 15, 16, 17, 33]
"""Around one tile of 16, and two tiles with a ragged third."""


@pytest.mark.parametrize(("dtype", "split"), SPLIT)
@pytest.mark.parametrize("rows", EDGES)
def test_products_at_the_edges_of_their_tiles(interpreter: Interpreter, rows: int, dtype: DType, split: int) -> None:
    """Every number of columns and every depth, in one net; where programs share a depth, some may have none of it."""
    builder = GraphBuilder("Products")
    for depth in EDGES:
        x = builder.input(f"x{depth}", TensorType((depth,)))
        for columns in EDGES:
            (y,) = builder.node(Fc(columns), (x,), name=f"fc{depth}.{columns}")
            builder.result(f"y{depth}.{columns}", y)
    compare(interpreter, builder.finish(), dtype, rows, least=0.5, tiling=SmallTiling(split=split))


@pytest.mark.parametrize(("dtype", "split"), SPLIT)
@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (33, 17, 15), (16, 33, 16), (17, 16, 33)])
def test_batched_products_at_the_edges_of_their_tiles(
    interpreter: Interpreter, m: int, n: int, k: int, dtype: DType, split: int
) -> None:
    tiling = SmallTiling(split=split)
    for swap_a, swap_b in ((False, False), (True, False), (False, True), (True, True)):
        a = TensorType((3, k, m) if swap_a else (3, m, k))
        b = TensorType((3, n, k) if swap_b else (3, k, n))
        compare(interpreter, single(MatMul(swap_a, swap_b), (a, b)), dtype, 2, tiling=tiling)
    constant = TensorType((3, k, n), batch=0)
    compare(interpreter, single(MatMul(), (TensorType((3, m, k)), constant)), dtype, 2, tiling=tiling)
    compare(
        interpreter, single(MatMul(), (TensorType((3, m, k), batch=0), TensorType((3, k, n)))), dtype, 2, tiling=tiling
    )


CONVOLUTIONS: dict[str, tuple[int, Op]] = {
    "channels": (33, Conv(17, (3,), padding=(1,))),
    "one channel each": (1, Conv(1, (3,))),
    "whole steps": (16, Conv(33, (3,), (2,), (1,))),
    "pictures": (3, Conv(17, (3,), (2,), (1,))),
    "pictures pointwise": (3, Conv(17, (1,))),
    "few channels": (5, Conv(33, (3, 2), padding=(1,))),
    "groups": (66, Conv(34, (3,), padding=(1,), groups=2)),
    "small groups": (12, Conv(18, (3,), groups=6)),
    "pointwise": (33, Conv(17, (1,))),
    "pointwise strided": (33, Conv(17, (1,), (2,))),
    "pointwise padded": (17, Conv(15, (1,), padding=(1,))),
    "far padding": (16, Conv(16, (2,), padding=(3, 0, 1, 4), dilation=(2,))),
    "depthwise": (17, Conv(17, (3,), (2,), (1,), groups=17)),
    "multiplied": (9, Conv(18, (3,), padding=(2,), dilation=(2,), groups=9)),
    "transposed": (17, UpConv(33, (3,), (2,), (1,))),
    "transposed gaps": (5, UpConv(4, (2,), (3,))),
    "transposed dilated": (5, UpConv(4, (3,), (2,), (1,), dilation=(3,))),
    "transposed even dilation": (5, UpConv(4, (3, 2), (4, 2), dilation=(2,))),
    "transposed groups": (34, UpConv(36, (4,), (2,), (1,), groups=2)),
    "transposed more": (5, UpConv(4, (3,), (3,), (1,), outpad=(2,))),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_agree(interpreter: Interpreter, name: str, dtype: DType) -> None:
    channels, op = CONVOLUTIONS[name]
    split = 3 if dtype is DType.FLOAT32 and name in ("channels", "pictures", "groups", "transposed gaps") else 1
    compare(interpreter, single(op, (TensorType((channels, 7, 5)),)), dtype, 2, tiling=SmallTiling(split=split))


def test_sums_of_shared_depths_never_leave_their_buffer(interpreter: Interpreter) -> None:
    """Tables may hold any tile: where its sums have no room, one program takes the whole depth."""
    graph = single(Conv(17, (3,), padding=(1,)), (TensorType((16, 3, 5)),))
    weights, inputs = random_weights(graph, DType.FLOAT32), random_inputs(graph, DType.FLOAT32, 1)
    source = compile_graph(graph, DType.FLOAT32, tiling=SmallTiling(split=4)).source
    assert "PARTS = 256 * 4 * COUNTS" in source
    (wanted,) = interpreter.run(source, inputs, weights)
    for changed in (
        source.replace("COUNTS = 512", "COUNTS = 7"),  # two tiles, of four programs each
        source.replace("(16, 16, 16, 4, 3, 4)", "(16, 32, 16, 4, 3, 4)").replace("PARTS = 256", "PARTS = 3"),
    ):
        assert changed != source
        (found,) = interpreter.run(changed, inputs, weights)
        assert difference(found, wanted) <= 2e-6


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "op",
    [
        Softmax(0),
        Softmax(),
        LayerNorm(),
        LayerNorm(axis=0),
        GroupNorm(3),
        GroupNorm(33),
        Mean(),
        Mean((0,)),
        Mean((-1,)),
    ],
    ids=str,
)
def test_reductions_longer_than_a_block_agree(interpreter: Interpreter, op: Op, dtype: DType) -> None:
    class Split(SmallTiling):
        def rows(self, depth: int, along_rows: bool) -> tuple[int, int]:
            return 1024, 16  # too much to hold at once

    graph = single(op, (TensorType((33, 3, 41)),))
    weights, inputs = random_weights(graph, dtype), random_inputs(graph, dtype, 2)
    short = interpreter.run(compile_graph(graph, dtype, tiling=SmallTiling()).source, inputs, weights)
    long = interpreter.run(compile_graph(graph, dtype, tiling=Split()).source, inputs, weights)
    np.testing.assert_allclose(short[0], long[0], rtol=0, atol=2e-3 if dtype is DType.FLOAT16 else 2e-6)
    compare(interpreter, graph, dtype, 2)


def tails() -> Graph:
    """Tails that take their value in every place, and operands of every extent, after every kernel that has them."""
    builder = GraphBuilder("Tails")
    x = builder.input("x", TensorType((6, 5, 4)))
    gate = builder.input("gate", TensorType((6, 1, 1)))
    row = builder.input("row", TensorType((1, 1, 4)))
    one = builder.input("one", TensorType((1,)))
    table = builder.parameter("table", (6, 5, 4), ONES)
    channel = builder.parameter("channel", (6, 1, 1), ONES)
    anchors: tuple[Op, ...] = (
        Conv(6, (1,)),
        Conv(6, (3,), padding=(1,)),
        Conv(6, (3,), padding=(1,), groups=6),
        UpConv(6, (3,), padding=(1,)),
        Pool("max", (3,), (1,), (1,)),
    )
    for index, anchor in enumerate(anchors):
        (y,) = builder.node(anchor, (x,), name=f"anchor{index}")
        for number, (op, others, place) in enumerate(
            (
                (Add(), (x, gate), 2),
                (Sub(), (gate,), 1),
                (Mul(), (row,), 0),
                (PRelu(), (), 0),
                (Add(), (table, one), 1),
                (Mul(), (channel,), 1),
                (Sub(), (x,), 0),
                (Sigmoid(), (), 0),
            )
        ):
            operands = [*others[:place], y, *others[place:]]
            (y,) = builder.node(op, operands, name=f"tail{index}.{number}")
        builder.result(f"y{index}", y)
    return builder.finish()


@pytest.mark.parametrize("dtype", DTYPES)
def test_tails_with_operands_of_every_extent_agree(interpreter: Interpreter, dtype: DType) -> None:
    artifact = compare(interpreter, tails(), dtype, 3)
    forward = artifact.source.split("def forward")[1].split("\ndef ")[0]
    launches = len(re.findall(r"\b(?:run|convolve|multiply)\(\n", forward))
    assert launches == 11, "one for each anchor, one for the order of storage of x and of each result"


@pytest.mark.parametrize("dtype", DTYPES)
def test_tails_of_products_of_matrices_agree(interpreter: Interpreter, dtype: DType) -> None:
    builder = GraphBuilder("Tails")
    x = builder.input("x", TensorType((3, 7, 5)))
    column = builder.input("column", TensorType((1, 7, 1)))
    stack = builder.input("stack", TensorType((3, 1, 1)))
    weight = builder.parameter("row", (1, 1, 6), ONES)
    (y,) = builder.node(Fc(6), (x,), name="fc")
    (z,) = builder.node(MatMul(False, True), (x, x), name="product")
    for index, (value, others) in enumerate(((y, (column, stack, weight)), (z, (column, stack)))):
        for number, other in enumerate(others):
            (value,) = builder.node((Add(), Mul(), Sub())[number], (value, other), name=f"tail{index}.{number}")
        builder.result(f"y{index}", value)
    compare(interpreter, builder.finish(), dtype, 2)


def test_upconvs_tail_reads_each_operand_between_the_strides(interpreter: Interpreter) -> None:
    builder = GraphBuilder("Between")
    x = builder.input("x", TensorType((5, 3, 4)))
    row = builder.input("row", TensorType((1, 7, 1)))
    plane = builder.input("plane", TensorType((1, 7, 9)))
    full = builder.input("full", TensorType((4, 7, 9)))
    (y,) = builder.node(UpConv(4, (3,), (2,)), (x,), name="up")
    for name, other in (("a", row), ("b", plane), ("c", full)):
        (y,) = builder.node(Add(), (y, other), name=name)
    compare(interpreter, builder.result("y", y).finish(), DType.FLOAT32, 2)


def test_a_value_joined_with_itself_three_times_agrees(interpreter: Interpreter) -> None:
    builder = GraphBuilder("Thrice")
    x = builder.input("x", TensorType((3, 4, 4)))
    (y,) = builder.node(Conv(3, (1,)), (x,), name="conv")
    (z,) = builder.node(Add(), (y, x, y), name="sum")
    (z,) = builder.node(Mul(), (z, z, z), name="cube")
    compare(interpreter, builder.result("z", z).finish(), DType.FLOAT32, 2)


def test_results_that_no_kernel_makes_agree(interpreter: Interpreter) -> None:
    builder = GraphBuilder("Plain")
    x = builder.input("x", TensorType((3, 4, 4)))
    table = builder.parameter("table", (2, 8), ONES)
    (shaped,) = builder.node(Reshape((4, 4)), (table,), name="reshape")
    (flat,) = builder.node(Reshape((48,)), (x,), name="flat")
    (joined,) = builder.node(Concat(), (x, x), name="concat")
    (twice,) = builder.node(Relu(), (joined,), name="relu")
    (seen,) = builder.node(Reshape((96,)), (twice,), name="seen")
    for name, value in (
        ("x", x),
        ("table", table),
        ("shaped", shaped),
        ("flat", flat),
        ("twice", twice),
        ("seen", seen),
    ):
        builder.result(name, value)
    compare(interpreter, builder.finish(), DType.FLOAT32, 2)


def test_what_weights_alone_decide_is_computed(interpreter: Interpreter) -> None:
    """In a form that PyTorch computes when weights are loaded, and in one that takes kernels."""
    builder = GraphBuilder("Constant")
    x = builder.input("x", TensorType((4, 5)))
    table = builder.parameter("table", (4, 5), ONES)
    (scaled,) = builder.node(Mul(), (table, table), name="square")
    (soft,) = builder.node(Softmax(), (scaled,), name="softmax")
    (ratio,) = builder.node(Div(0.5), (soft, soft), name="ratio")
    (y,) = builder.node(Add(), (x, ratio), name="add")
    compare(interpreter, builder.result("y", y).result("soft", soft).finish(), DType.FLOAT32, 3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(NETS))
def test_small_nets_agree(interpreter: Interpreter, name: str, dtype: DType) -> None:
    compare(interpreter, make(name), dtype, 3, factor=4)


@pytest.mark.parametrize(
    "op", [Relu(), Pool("max", (2,)), Pool("avg", (2,)), Conv(3, (1,)), Mean((1, 2)), Softmax(0)], ids=str
)
def test_nan_goes_where_it_goes_in_the_reference(interpreter: Interpreter, op: Op) -> None:
    graph = single(op, (TensorType((3, 4, 4)),))
    weights, inputs = random_weights(graph, DType.FLOAT32), random_inputs(graph, DType.FLOAT32, 2)
    inputs["x0"][1, 2, 1, 1] = np.nan
    (found,) = interpreter.run(compile_graph(graph).source, inputs, weights)
    wanted: Any = np.isnan(reference(graph, inputs, weights))
    assert wanted.any()
    np.testing.assert_array_equal(np.isnan(found), wanted)


def reference(graph: Graph, inputs: dict[str, Any], weights: dict[str, Any]) -> Any:
    from netdsl.reference.interpret import interpret

    return interpret(graph, inputs, weights)[0]
