"""A depthwise convolution and the 1x1 one after it in one kernel: at the edges of tiles, between margins of NaN."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from interpreted import Interpreter, SmallTiling, compare
from test_triton_tma import stored

import netdsl
from netdsl.codegen.triton.backend import compile_graph
from netdsl.codegen.triton.cost import predict, seen
from netdsl.codegen.triton.devices import DEVICES, H200
from netdsl.codegen.triton.tiling import BATCHES, apart, halo_box, pair_tables, tile_for
from netdsl.codegen.triton.work import Depthwise, Product, Separable
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph
from netdsl.ops import Add, Clamp, Conv, PRelu, Relu, Silu
from netdsl.ops.base import Op
from netdsl.tensor import DType, TensorType

HALF = DType.FLOAT16


def separable(
    first: Conv,
    shape: tuple[int, ...],
    columns: int = 24,
    between: tuple[Op, ...] = (Clamp(0, 6),),
    also: bool = False,
    bias: bool = True,
) -> Graph:
    """A convolution, one of one pixel after it, and a residual; `also`: what is between is a result too."""
    builder = GraphBuilder("Separable")
    y = builder.input("x", TensorType(shape))
    (y,) = builder.node(first, (y,), name="first")
    for index, op in enumerate(between):
        (y,) = builder.node(op, (y,), name=f"between{index}")
    if also:
        builder.result("between", y)
    (y,) = builder.node(Conv(columns, (1,), bias=bias), (y,), name="second")
    residual = builder.input("residual", y.type)
    (y,) = builder.node(Add(), (y, residual), name="add")
    (y,) = builder.node(Relu(), (y,), name="relu")
    return builder.result("y", y).finish()


def depthwise(channels: int, kernel: tuple[int, ...] = (3,), stride: int = 1, **others: object) -> Conv:
    given = {"padding": (kernel[0] // 2,), **others}
    return Conv(channels, kernel, (stride,), groups=channels, **given)  # type: ignore[arg-type]


def fused(graph: Graph, dtype: DType = HALF) -> bool:
    return "    separable(\n" in compile_graph(graph, dtype, tiling=SmallTiling()).source


CASES = {
    "same": separable(depthwise(16), (16, 3, 5)),
    "stride 2": separable(depthwise(24, stride=2), (24, 6, 7), 40),
    "5x5": separable(depthwise(20, (5,)), (20, 3, 5), 17),
    "5x5 at stride 2": separable(depthwise(33, (5,), 2), (33, 5, 6), 15),
    "two sides": separable(Conv(17, (2, 3), (1, 2), (2, 0, 0, 1), groups=17), (17, 5, 6)),
    "far apart": separable(depthwise(16, (2,), 3, padding=(0,)), (16, 8, 7)),
    "no bias": separable(depthwise(16, bias=False), (16, 3, 4), between=(Silu(), Relu()), bias=False),
    "nothing between": separable(depthwise(16, (1,)), (16, 3, 4), between=()),
}


@pytest.mark.triton
@pytest.mark.parametrize(("name", "dtype"), [*((name, HALF) for name in CASES), ("5x5 at stride 2", DType.FLOAT32)])
def test_both_in_one_agree(interpreter: Interpreter, name: str, dtype: DType) -> None:
    artifact = compare(interpreter, CASES[name], dtype, 3, least=0.5)
    assert "    separable(\n" in artifact.source


@pytest.mark.triton
@pytest.mark.parametrize("box", [(1, 8, 8), (2, 4, 8), (1, 2, 8), (4, 4, 1)], ids=str)
@pytest.mark.parametrize("extent", [1, 7, 8, 9])
def test_maps_around_the_edges_of_boxes_agree(interpreter: Interpreter, extent: int, box: tuple[int, int, int]) -> None:
    """64 pixels are the left operand of the matrix units, 16 the right one. Samples, channels and columns vary too."""
    channels, columns = {1: (2, 1), 7: (15, 17), 8: (16, 16), 9: (17, 15)}[extent]
    graph = separable(depthwise(channels, stride=1 + extent % 2), (channels, extent, 10 - extent), columns)
    n = max(box[0] - 1, 1) if extent == 8 else box[0] + extent % 2
    compare(interpreter, graph, HALF, n, tiling=SmallTiling(box=box), least=0.5)


@pytest.mark.triton
def test_maps_stored_inside_others_agree(interpreter: Interpreter) -> None:
    """The map is at a distance of its own, as in a concatenation: both the source and the result of the pair."""
    from netdsl.ops import Concat

    builder = GraphBuilder("Inside")
    x, other = stored(builder, "x", 16, 5, 5), stored(builder, "other", 8, 5, 5)
    (joined,) = builder.node(Concat(), (x, other), name="joined")
    (y,) = builder.node(depthwise(16), (x,), name="first")
    (y,) = builder.node(Conv(24, (1,)), (y,), name="second")
    (z,) = builder.node(Conv(8, (1,)), (joined,), name="reader")
    graph = builder.result("y", y).result("z", z).finish()
    artifact = compare(interpreter, graph, HALF, 2, least=0.5)
    assert "    separable(\n" in artifact.source


def test_what_is_no_pair_stays_apart() -> None:
    conv = depthwise(16)
    graphs = [
        separable(conv, (16, 8, 8), also=True),
        separable(conv, (16, 8, 8), between=(PRelu(),)),
        separable(replace(conv, dilation=(2,)), (16, 8, 8)),
        separable(replace(conv, out=32), (16, 8, 8)),
        separable(replace(conv, groups=8), (16, 8, 8)),
        separable(conv, (16, 21)),
    ]
    assert [fused(graph) for graph in graphs] == [False] * len(graphs)
    assert fused(separable(conv, (16, 8, 8)))


def work(channels: int, extent: int, stride: int, columns: int) -> Separable:
    """The depthwise 3x3 and the 1x1 of a block of MobileNetV2."""
    size, source = extent * extent, channels * (extent * stride) ** 2
    first = Depthwise(
        1, (extent, extent), channels, (3, 3), (stride, stride), source, 9 * channels, HALF, 0, block=1024
    )
    second = Product(1, (1, size), columns, channels, 1, channels * size, columns * channels, HALF, boxes="rows")
    return Separable(first, second)


def test_the_pair_is_chosen_where_the_model_expects_a_gain() -> None:
    """Few columns gain: what lies between is the largest map. With many, every tile of columns does all of it again."""
    for pair, wanted in ((work(96, 56, 2, 24), {True}), (work(1024, 7, 1, 1024), {False})):
        for target, tiles in pair_tables(pair):
            assert {tile_for(tiles, batch) is not None for batch in BATCHES} == wanted
            for batch in BATCHES:
                tile = tile_for(tiles, batch)
                if tile:
                    device = DEVICES[target]
                    found = predict(pair, tile, device, batch)
                    moved = batch * (pair.first.source + 56 * 56 * 24) * 2
                    assert device.launch + moved / device.memory < found.time < apart(pair, device, batch, batch)


def test_no_prediction_of_a_depthwise_kernel_is_below_what_the_hardware_needs() -> None:
    first = work(96, 56, 2, 24).first
    for batch in BATCHES:
        found = predict(first, None, H200, batch)
        assert found.time > H200.launch + batch * (first.source + 96 * 56 * 56) * 2 / H200.memory
        assert found.limit in {"cores", "shared", "memory", "L2", "latency"}


def test_boxes_see_little_of_the_map() -> None:
    first = work(96, 56, 1, 24).first
    assert halo_box(first, 128, 64, 32) == (1, 8, 8)
    assert seen(first, (1, 8, 8)) == 100
    assert halo_box(replace(first, out=(7, 7)), 128, 64, 32) == (1, 8, 8)


def test_mobilenets_pairs_are_found() -> None:
    """All but one of the 17 blocks of MobileNetV2 pay for some batch or GPU: not 960 channels to 320."""
    net = netdsl.load(Path(__file__).parents[2] / "examples" / "mobilenet2.net", net="MobileNetV2")
    source = net.compile(backend="triton", dtype="float16").source
    assert source.count("    separable(\n") == 16
