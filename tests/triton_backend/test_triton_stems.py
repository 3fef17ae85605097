"""A convolution with its maximum: at the edges of tiles, interpreted between margins of NaN; where both stay apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
from interpreted import Interpreter, SmallTiling, compare
from test_triton_tma import stored

from netdsl.codegen.triton.backend import compile_graph
from netdsl.codegen.triton.cost import predict
from netdsl.codegen.triton.devices import DEVICES
from netdsl.codegen.triton.tiling import BATCHES, apart, pair_tables, tile_for
from netdsl.codegen.triton.work import Near, Pooled, Product, Traffic
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph
from netdsl.ops import Add, Conv, Mul, Pool, PRelu, Relu
from netdsl.ops.base import Op
from netdsl.tensor import DType, TensorType

HALF = DType.FLOAT16
LARGEST = Pool("max", (3,), (2,), (1,))
SEVEN = Conv(24, (7,), (2,), (3,))


def stem(
    conv: Conv,
    pool: Pool,
    height: int,
    width: int,
    between: tuple[Op, ...] = (Relu(),),
    after: tuple[Op, ...] = (),
    also: bool = False,
    channels: int = 3,
) -> Graph:
    """A convolution on a picture, and a pool; `also`: what is between is a result too."""
    builder = GraphBuilder("Stem")
    y = builder.input("x", TensorType((channels, height, width)))
    for index, op in enumerate((conv, *between)):
        (y,) = builder.node(op, (y,), name=f"conv{index}")
    if also:
        builder.result("between", y)
    for index, op in enumerate((pool, *after)):
        (y,) = builder.node(op, (y,), name=f"pool{index}")
    return builder.result("y", y).finish()


CASES = {
    "seven": stem(SEVEN, LARGEST, 21, 26),
    "no tail": stem(SEVEN, LARGEST, 20, 13, between=()),
    "no bias": stem(replace(SEVEN, out=16, bias=False), LARGEST, 13, 20, after=(PRelu(),)),
    "eleven": stem(Conv(24, (11,), (4,), (2,)), Pool("max", (3,), (2,)), 43, 27),
    "two": stem(Conv(16, (3,), padding=(1,)), Pool("max", (2,)), 9, 12),
    "hanging over": stem(Conv(16, (3,)), Pool("max", (3,), (2,), ceil=True), 12, 9),
    "uneven": stem(Conv(16, (5, 3), (1, 2), (2, 0, 1, 1)), Pool("max", (2,), (2,), (1,)), 8, 17),
}


@pytest.mark.triton
@pytest.mark.parametrize("name", CASES)
def test_stems_agree(interpreter: Interpreter, name: str) -> None:
    artifact = compare(interpreter, CASES[name], HALF, 2, tiling=SmallTiling(), least=0.5)
    assert "    pool_products(\n" in artifact.source


@pytest.mark.triton
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("more", [-1, 0, 1], ids=str)
def test_maps_around_the_edges_of_tiles_agree(interpreter: Interpreter, more: int, size: int) -> None:
    """Tiles of 8 x 8 pixels hold 4 x 4 windows of 2 x 2, and 3 x 3 windows of 3 x 3."""
    extent = 5 - size + 1
    pool = Pool("max", (size,), (2,), (size // 2,))
    for height, width in ((extent + more, extent - more), (1, 2 * extent + more)):
        graph = stem(Conv(16 + 8 * more, (3,), padding=(1,)), pool, 2 * height - 1, 2 * width - 1)
        assert graph.outputs[0].type.shape[1:] == (height, width)
        compare(interpreter, graph, DType.TF32 if more else HALF, 1 + (more > 0), tiling=SmallTiling(), least=0.5)


@pytest.mark.triton
def test_tails_after_the_pool_have_operands_of_every_extent(interpreter: Interpreter) -> None:
    builder = GraphBuilder("Tails")
    x = builder.input("x", TensorType((3, 14, 14)))
    shapes = ((24, 1, 1), (1, 1, 4), (1, 4, 1), (24, 4, 4))
    others = [builder.input(f"other{number}", TensorType(shape)) for number, shape in enumerate(shapes)]
    (y,) = builder.node(SEVEN, (x,), name="conv")
    (y,) = builder.node(LARGEST, (y,), name="pool")
    for number, other in enumerate(others):
        (y,) = builder.node((Mul(), Mul(), Mul(), Add())[number], (y, other), name=f"tail{number}")
    graph = builder.result("y", y).finish()
    artifact = compare(interpreter, graph, HALF, 2, tiling=SmallTiling(), least=0.5)
    assert "    pool_products(\n" in artifact.source


def inside(conv: Conv, height: int, width: int, pool: Pool, after: tuple[Op, ...] = ()) -> Graph:
    """The same within a net, where boxes are fetched."""
    builder = GraphBuilder("Inside")
    y = stored(builder, "x", 16, height, width)
    for index, op in enumerate((conv, Relu(), pool, *after)):
        (y,) = builder.node(op, (y,), name=f"layer{index}")
    other = stored(builder, "other", *y.type.shape)
    (y,) = builder.node(Add(), (y, other), name="add")
    return builder.result("y", y).finish()


TWO = Pool("max", (2,))
INSIDE = {
    "same": (inside(Conv(24, (3,), padding=(1,)), 6, 10, TWO), (2, 2, 4)),
    "odd": (inside(Conv(40, (3,), padding=(1,), bias=False), 7, 9, TWO, (PRelu(),)), (1, 4, 4)),
    "stride 2": (inside(Conv(16, (3,), (2,), (1,)), 12, 8, TWO), (4, 2, 2)),
    "tall": (inside(Conv(24, (2, 3)), 11, 4, TWO), (1, 8, 2)),
}


@pytest.mark.triton
@pytest.mark.parametrize("name", INSIDE)
def test_windows_in_boxes_agree(interpreter: Interpreter, name: str) -> None:
    graph, box = INSIDE[name]
    artifact = compare(interpreter, graph, HALF, box[0] + 1, target=90, tiling=SmallTiling(box=box), least=0.5)
    assert "    pool_boxes(\n" in artifact.source
    if name == "same":
        compare(interpreter, graph, HALF, 1, target=80, tiling=SmallTiling(), least=0.5)


def test_windows_that_straddle_boxes_stay_apart() -> None:
    conv = Conv(24, (3,), padding=(1,))
    pools = [LARGEST, Pool("max", (2,), (2,), (1,)), Pool("max", (2,), ceil=True)]
    graphs = [inside(conv, 7, 9, pool) for pool in pools]
    assert ["pool_boxes" in compile_graph(graph, HALF, tiling=SmallTiling()).source for graph in graphs] == [False] * 3


def test_what_is_no_stem_stays_apart() -> None:
    graphs = [
        (stem(SEVEN, LARGEST, 21, 26, also=True), HALF),
        (stem(SEVEN, LARGEST, 21, 26), DType.FLOAT32),
        (stem(SEVEN, LARGEST, 21, 26, channels=6), HALF),
        (stem(SEVEN, LARGEST, 21, 26, between=(PRelu(),)), HALF),
        (stem(SEVEN, Pool("avg", (2,)), 21, 26), HALF),
        (stem(SEVEN, Pool("max", (3,), (3,)), 21, 26), HALF),
        (stem(SEVEN, Pool("max", (3,), (2,), dilation=(2,)), 21, 26), HALF),
        (stem(replace(SEVEN, dilation=(2,)), LARGEST, 21, 26), HALF),
    ]
    found = [
        "    pool_products(\n" in compile_graph(graph, dtype, tiling=SmallTiling()).source for graph, dtype in graphs
    ]
    assert found == [False] * len(graphs)


def test_a_stem_is_one_kernel_where_the_model_expects_a_gain() -> None:
    """ResNet's: all of the convolution's result is neither written nor read. Its arithmetic is done 1.3 times."""
    near = Near(4, (7, 7), (2, 2))
    first = Product(1, (112, 112), 64, 196, 1, 4 * 230 * 230, 147 * 64, HALF, near=near)
    second = Traffic(1, 64 * (112 * 112 + 56 * 56), 0, 64 * (112 * 112 + 56 * 56), HALF)
    stem = Pooled(first, second, (56, 56), 3)
    for target, device in DEVICES.items():
        for batch in BATCHES:
            tile = tile_for(dict(pair_tables(stem))[target], batch)
            assert tile
            found = predict(stem, tile, device, batch)
            moved = batch * (first.source + 64 * 56 * 56) * 2 / device.memory
            arithmetic = batch * first.macs / (device.processors * device.macs[HALF] * device.clock)
            assert device.launch + max(moved, arithmetic) < found.time < apart(stem, device, batch, batch)
