"""Elementwise operations on what a 1x1 convolution reads, done on its tiles: at their edges, between margins of NaN."""

from __future__ import annotations

from pathlib import Path

import pytest
from interpreted import Interpreter, SmallTiling, compare

import netdsl
from netdsl.codegen.triton.backend import compile_graph
from netdsl.codegen.triton.cost import predict
from netdsl.codegen.triton.devices import DEVICES
from netdsl.codegen.triton.tiling import BATCHES, apart, pair_tables, tile_for
from netdsl.codegen.triton.work import Headed, Product, Traffic
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph, Value
from netdsl.ops import Add, BatchNorm, Concat, Conv, Mul, Pool, PRelu, Relu
from netdsl.ops.base import ONES
from netdsl.tensor import DType, TensorType

HALF = DType.FLOAT16


def pooled(builder: GraphBuilder, channels: int, height: int, width: int, kept: bool = True) -> Value:
    """A map channels last in memory, as a convolution reads it; `kept`: a result too, so that nothing fuses with it."""
    x = builder.input("x", TensorType((channels, height, width)))
    (y,) = builder.node(Pool("max", (3,), (1,), (1,)), (x,), name="pool")
    if kept:
        builder.result("pooled", y)
    return y


def bottleneck(channels: int, height: int, width: int, columns: int, also: bool = False) -> Graph:
    """A norm, relu, a convolution of one pixel and a tail; `also`: what the convolution reads is a result too."""
    builder = GraphBuilder("Bottleneck")
    x = pooled(builder, channels, height, width)
    (y,) = builder.node(BatchNorm(), (x,), name="norm")
    (y,) = builder.node(Relu(), (y,), name="relu")
    if also:
        builder.result("read", y)
    (y,) = builder.node(Conv(columns, (1,)), (y,), name="conv")
    residual = builder.input("residual", y.type)
    (y,) = builder.node(Add(), (y, residual), name="add")
    return builder.result("y", y).finish()


def headed(graph: Graph) -> bool:
    return "x_value" in compile_graph(graph, HALF, tiling=SmallTiling()).source


@pytest.mark.triton
@pytest.mark.parametrize("dtype", [DType.FLOAT32, HALF])
@pytest.mark.parametrize(
    ("channels", "height", "columns"), [(2, 1, 1), (15, 3, 17), (16, 4, 16), (17, 5, 15), (33, 8, 33)], ids=str
)
def test_tiles_at_their_edges_agree(
    interpreter: Interpreter, channels: int, height: int, columns: int, dtype: DType
) -> None:
    artifact = compare(interpreter, bottleneck(channels, height, 4, columns), dtype, 1 + height % 2, least=0.5)
    assert "x_value" in artifact.source


@pytest.mark.triton
def test_every_channel_may_have_numbers_of_its_own(interpreter: Interpreter) -> None:
    builder = GraphBuilder("Numbers")
    x = pooled(builder, 18, 3, 5)
    scale, one = builder.parameter("scale", (18, 1, 1), ONES), builder.parameter("one", (1,), ONES)
    (y,) = builder.node(Mul(), (x, scale), name="mul")
    (y,) = builder.node(Add(), (x, y, one), name="add")
    (y,) = builder.node(PRelu(), (y,), name="prelu")
    (y,) = builder.node(Conv(6, (1,), bias=False), (y,), name="conv")
    artifact = compare(interpreter, builder.result("y", y).finish(), HALF, 2, least=0.5)
    assert "x_value" in artifact.source


@pytest.mark.triton
@pytest.mark.parametrize("target", [80, 90])
def test_maps_inside_a_concatenation_are_read_where_they_lie(interpreter: Interpreter, target: int) -> None:
    """As in DenseNet: the first part of what is joined is normed and multiplied by itself."""
    builder = GraphBuilder("Dense")
    x = pooled(builder, 16, 3, 5, kept=False)
    (y,) = builder.node(BatchNorm(), (x,), name="norm")
    (y,) = builder.node(Relu(), (y,), name="relu")
    (y,) = builder.node(Conv(24, (1,)), (y,), name="bottleneck")
    (y,) = builder.node(Conv(8, (3,), padding=(1,)), (y,), name="grown")
    (y,) = builder.node(Concat(), (x, y), name="joined")
    (y,) = builder.node(Conv(8, (1,)), (y,), name="reader")
    artifact = compare(
        interpreter, builder.result("y", y).finish(), HALF, 2, target=target, tiling=SmallTiling(), least=0.5
    )
    assert "x_value" in artifact.source
    assert '"XM": 24' in artifact.source


def test_what_has_no_head_stays_apart() -> None:
    builder = GraphBuilder("Spatial")
    x = pooled(builder, 8, 8, 8)
    row = builder.parameter("row", (1, 1, 8), ONES)
    (y,) = builder.node(Mul(), (x, row), name="mul")
    (y,) = builder.node(Conv(8, (1,)), (y,), name="conv")
    assert not headed(builder.result("y", y).finish())
    builder = GraphBuilder("Two")
    maps = (pooled(builder, 8, 8, 8), builder.input("y", TensorType((8, 8, 8))))
    (y,) = builder.node(Mul(), maps, name="mul")
    (y,) = builder.node(Conv(8, (1,)), (y,), name="conv")
    assert not headed(builder.result("z", y).finish())
    assert not headed(bottleneck(8, 8, 8, 8, also=True))
    assert headed(bottleneck(8, 8, 8, 8))


def test_a_head_is_chosen_where_the_model_expects_a_gain() -> None:
    """A norm of DenseNet-121 moves more than its product of 128 columns; many columns would each do it again."""
    for columns, wanted in ((128, True), (2048, False)):
        size = 28 * 28 * 256
        product = Product(1, (1, 784), columns, 256, 1, size, 256 * columns, HALF, boxes="rows")
        pair = Headed(Traffic(1, 2 * size, 512, 2 * size, HALF), product)
        for target, tiles in pair_tables(pair):
            device = DEVICES[target]
            assert target != 90 or (tile_for(tiles, 128) is not None) is wanted
            for batch in BATCHES:
                tile = tile_for(tiles, batch)
                if tile:
                    moved = batch * (size + 784 * columns) * 2
                    found = predict(pair, tile, device, batch).time
                    assert device.launch + moved / device.memory < found < apart(pair, device, batch, batch)


def test_densenets_norms_are_heads() -> None:
    """Each of the 58 dense layers has one, and each of the 3 transitions."""
    net = netdsl.load(Path(__file__).parents[2] / "examples" / "densenet.net", net="DenseNet121")
    plan = net.compile(backend="triton", dtype="float16").plan
    assert plan.count("Headed(") >= 58
