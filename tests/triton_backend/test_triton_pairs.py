"""Two products in one kernel: at the edges of tiles, interpreted between margins of NaN; where they stay apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from interpreted import Interpreter, SmallTiling, compare
from test_triton_tma import stored

import netdsl
from netdsl.codegen.triton.backend import compile_graph
from netdsl.codegen.triton.cost import predict
from netdsl.codegen.triton.devices import H200
from netdsl.codegen.triton.tiling import BATCHES, pair_tables, tables, tile_for
from netdsl.codegen.triton.work import Chain, Product
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph
from netdsl.ops import Add, Conv, Mul, PRelu, Relu, Silu
from netdsl.ops.base import Op
from netdsl.tensor import DType, TensorType

HALF = DType.FLOAT16


def pair(
    first: Conv,
    channels: int,
    height: int,
    width: int,
    columns: int = 40,
    between: tuple[Op, ...] = (Relu(),),
    also: bool = False,
) -> Graph:
    """A convolution, one of one pixel after it, and a residual; `also`: what is between is a result too."""
    builder = GraphBuilder("Pair")
    y = stored(builder, "x", channels, height, width)
    (y,) = builder.node(first, (y,), name="first")
    for index, op in enumerate(between):
        (y,) = builder.node(op, (y,), name=f"between{index}")
    if also:
        builder.result("between", y)
    (y,) = builder.node(Conv(columns, (1,)), (y,), name="second")
    residual = stored(builder, "residual", *y.type.shape)
    (y,) = builder.node(Add(), (y, residual), name="add")
    (y,) = builder.node(Relu(), (y,), name="relu")
    return builder.result("y", y).finish()


EDGES = [(1, (16, 1, 1)), *((extent, box) for extent in (1, 4, 5) for box in ((1, 4, 4), (4, 1, 4)))]
"""Maps of this height, and of 6 less this as width, in these boxes."""
CASES = {
    "same": pair(Conv(64, (3,), padding=(1,)), 16, 5, 9),
    "ragged": pair(Conv(64, (3,), padding=(1,)), 40, 7, 5, 24),
    "no tail": pair(Conv(64, (2, 3)), 24, 6, 7, between=()),
    "no bias": pair(Conv(64, (3,), bias=False), 16, 5, 5, between=(Silu(), Relu())),
    "stride 2": pair(Conv(128, (3,), (2,), (1,)), 16, 8, 6, 16),
}


@pytest.mark.triton
@pytest.mark.parametrize("name", CASES)
def test_chains_agree(interpreter: Interpreter, name: str) -> None:
    artifact = compare(interpreter, CASES[name], HALF, 3, target=90, tiling=SmallTiling(), least=0.5)
    assert "    chain(\n" in artifact.source
    compare(interpreter, CASES[name], HALF, 1, target=80, tiling=SmallTiling(), least=0.5)


@pytest.mark.triton
@pytest.mark.parametrize(("extent", "box"), EDGES, ids=str)
def test_maps_around_the_edges_of_boxes_agree(interpreter: Interpreter, extent: int, box: tuple[int, int, int]) -> None:
    graph = pair(Conv(64, (3,), padding=(1,)), 16, extent, 6 - extent, {1: 8, 4: 16, 5: 24}[extent])
    n = max(box[0] - 1, 1) if extent == 4 else box[0] + 1
    compare(interpreter, graph, HALF, n, target=90, tiling=SmallTiling(box=box), least=0.5)


@pytest.mark.triton
def test_tails_of_the_second_have_operands_of_every_extent(interpreter: Interpreter) -> None:
    builder = GraphBuilder("Tails")
    y = stored(builder, "x", 16, 5, 5)
    gate = builder.input("gate", TensorType((24, 1, 1)))
    row = builder.input("row", TensorType((1, 1, 5)))
    column = builder.input("column", TensorType((1, 5, 1)))
    (y,) = builder.node(Conv(64, (3,), padding=(1,)), (y,), name="first")
    (y,) = builder.node(Conv(24, (1,)), (y,), name="second")
    residual = stored(builder, "residual", 24, 5, 5)
    for number, operands in enumerate(((y, gate), (row,), (column,), (residual,))):
        op = (Mul(), Mul(), Mul(), Add())[number]
        (y,) = builder.node(op, (y, *(value for value in operands if value is not y)), name=f"tail{number}")
    (y,) = builder.node(PRelu(), (y,), name="prelu")
    graph = builder.result("y", y).finish()
    artifact = compare(interpreter, graph, HALF, 3, target=90, tiling=SmallTiling(), least=0.5)
    assert "    chain(\n" in artifact.source


def block_end(strides: tuple[int, int], height: int, width: int, columns: int = 40, bias: bool = True) -> Graph:
    """The sum of two 1x1 convolutions at these strides, with a tail, onto a map of this size."""
    builder = GraphBuilder("End")
    values = []
    for name, channels, stride in zip(("x", "shortcut"), (64, 64), strides, strict=True):
        y = stored(builder, name, channels, height * stride, width * stride)
        (y,) = builder.node(Conv(columns, (1,), (stride,), bias=bias), (y,), name=f"{name}.conv")
        values.append(y)
    other = stored(builder, "other", columns, height, width)
    (y,) = builder.node(Add(), values, name="add")
    (y,) = builder.node(Relu(), (y,), name="relu")
    (y,) = builder.node(Mul(), (y, other), name="mul")
    return builder.result("y", y).finish()


@pytest.mark.triton
@pytest.mark.parametrize("strides", [(1, 1), (1, 2), (2, 1), (2, 2)], ids=str)
def test_sums_agree(interpreter: Interpreter, strides: tuple[int, int]) -> None:
    graph = block_end(strides, 3, 5, bias=strides[0] == 1)
    artifact = compare(interpreter, graph, HALF, 3, target=90, tiling=SmallTiling(split=strides[1] + 1), least=0.5)
    assert "    add_products(\n" in artifact.source


@pytest.mark.triton
@pytest.mark.parametrize(("extent", "box"), EDGES, ids=str)
def test_sums_around_the_edges_of_boxes_agree(interpreter: Interpreter, extent: int, box: tuple[int, int, int]) -> None:
    graph = block_end((1, 2), extent, 6 - extent, {1: 8, 4: 16, 5: 24}[extent])
    n = max(box[0] - 1, 1) if extent == 4 else box[0] + 1
    compare(interpreter, graph, HALF, n, target=90, tiling=SmallTiling(box=box), least=0.5)


def test_a_sum_takes_less_than_both_of_its_products() -> None:
    """The first block of each stage of ResNet-50: what is saved is a result of the block's size, written and read."""
    net = netdsl.load(Path(__file__).parents[2] / "examples" / "resnet.net", net="ResNet50")
    source = net.compile(backend="triton", dtype="float16").source
    assert source.count("    add_products(\n") == 4
    assert source.count("    chain(\n") == 5, "two blocks of the first stage, three of the second"


def test_what_is_no_chain_stays_apart() -> None:
    conv = Conv(64, (3,), padding=(1,))
    graphs = [
        (pair(conv, 16, 8, 8, also=True), HALF),
        (pair(conv, 16, 8, 8), DType.TF32),
        (pair(conv, 16, 8, 8), DType.FLOAT32),
        (pair(replace(conv, out=48), 16, 8, 8), HALF),
        (pair(conv, 20, 8, 8), HALF),
        (pair(conv, 16, 8, 8, between=(PRelu(),)), HALF),
    ]
    found = ["    chain(\n" in compile_graph(graph, dtype, tiling=SmallTiling()).source for graph, dtype in graphs]
    assert found == [False] * len(graphs)


def test_a_chain_is_chosen_where_the_model_expects_a_gain() -> None:
    """Stages 1 and 2 of ResNet-50 gain; small maps of many channels do not: every tile reads all weights."""
    for hidden, extent, wanted in ((64, 56, {True}), (128, 28, {True, False}), (256, 7, {False})):
        size = extent * extent
        first = Product(1, (extent, extent), hidden, hidden, 9, hidden * size, 9 * hidden**2, HALF, boxes="windows")
        second = Product(1, (1, size), 4 * hidden, hidden, 1, hidden * size, 4 * hidden**2, HALF, 1, boxes="rows")
        chain = Chain(first, second)
        table = dict(pair_tables(chain))
        assert {tile for _, tile in (*table[80], *table[89])} == {None}
        assert {tile_for(table[90], batch) is not None for batch in BATCHES} == wanted
        for batch in BATCHES:
            tile = tile_for(table[90], batch)
            parts = [(product, tile_for(dict(tables(product))[90], batch)) for product in (first, second)]
            apart = sum(predict(product, part, H200, batch).time for product, part in parts)
            if tile:
                found = predict(chain, tile, H200, batch)
                arithmetic = batch * (first.macs + second.macs) / (132 * 2048 * H200.clock)
                assert arithmetic < found.time < apart
