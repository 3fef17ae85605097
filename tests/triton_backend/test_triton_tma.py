"""Kernels that fetch boxes, at the edges of their boxes: interpreted, against the reference, between margins of NaN."""

from __future__ import annotations

import pytest
from interpreted import Interpreter, SmallTiling, compare
from small_nets import NETS, make

from netdsl.codegen.triton.backend import compile_graph
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph, Value
from netdsl.ops import Add, Conv, Fc, Mul, Pool, PRelu, Relu, Sub, UpConv
from netdsl.ops.base import ONES, Op
from netdsl.tensor import DType, TensorType

pytestmark = pytest.mark.triton
# tf32 is stored as float32, and the interpreter multiplies it exactly.
DTYPES = [DType.TF32, DType.FLOAT16]


def stored(builder: GraphBuilder, name: str, channels: int, height: int, width: int) -> Value:
    """A map in the arena: boxes are never fetched from inputs, which may lie at any address."""
    x = builder.input(name, TensorType((channels, height, width)))
    (y,) = builder.node(Pool("max", (1,)), (x,), name=f"{name}.stored")
    return y


def convolution(op: Op, channels: int, height: int, width: int) -> Graph:
    builder = GraphBuilder("Boxes")
    (y,) = builder.node(op, (stored(builder, "x", channels, height, width),), name="layer")
    return builder.result("y", y).finish()


CASES: dict[str, tuple[Op, int, int, int]] = {
    "same": (Conv(16, (3,), padding=(1,)), 16, 5, 9),
    "ragged": (Conv(24, (3,), padding=(1,)), 40, 7, 5),
    "no padding": (Conv(40, (2, 3)), 24, 6, 7),
    "far padding": (Conv(16, (2,), padding=(3, 0, 1, 4), dilation=(2,)), 16, 4, 4),
    "dilated": (Conv(16, (3,), padding=(2,), dilation=(2,)), 24, 6, 6),
    "stride 2": (Conv(24, (3,), (2,), (1,)), 16, 8, 6),
    "stride 2 far": (Conv(16, (4, 3), (2,), (2, 1, 3, 0)), 32, 6, 10),
    "stride 2 pointwise": (Conv(24, (1,), (2,)), 48, 6, 8),
    "pointwise": (Conv(24, (1,)), 40, 3, 7),
    "transposed": (UpConv(24, (2,), (2,)), 16, 5, 3),
    "transposed ragged": (UpConv(40, (3, 1), (3, 1)), 24, 3, 5),
    "transposed wide": (UpConv(16, (4,), (2,), (1,)), 24, 3, 4),
}


@pytest.mark.parametrize(("dtype", "split"), [(DType.TF32, 1), (DType.FLOAT16, 3)])
@pytest.mark.parametrize("name", CASES)
def test_convolutions_agree(interpreter: Interpreter, name: str, split: int, dtype: DType) -> None:
    artifact = compare(
        interpreter, convolution(*CASES[name]), dtype, 3, target=90, tiling=SmallTiling(split=split), least=0.5
    )
    assert "_tma)" in artifact.source


@pytest.mark.parametrize("box", [(1, 4, 4), (4, 1, 4), (16, 1, 1), (1, 16, 1)], ids=str)
@pytest.mark.parametrize("extent", [1, 4, 5])
def test_maps_around_the_edges_of_boxes_agree(interpreter: Interpreter, extent: int, box: tuple[int, int, int]) -> None:
    graph = convolution(Conv(16, (3,), padding=(1,)), 16, extent, 9 - extent)
    for n in {max(box[0] - 1, 1), box[0] + 1}:
        compare(interpreter, graph, DType.TF32, n, target=90, tiling=SmallTiling(box=box), least=0.5)


@pytest.mark.parametrize("box", [(1, 4, 4), (1, 1, 16), (1, 16, 1)], ids=str)
@pytest.mark.parametrize("height", [3, 4, 5])
def test_pixels_that_become_several_around_the_edges_of_boxes(
    interpreter: Interpreter, height: int, box: tuple[int, int, int]
) -> None:
    """One product, of which every tap has columns of its own; lines of all samples follow one another."""
    graph = convolution(UpConv(24, (2,), (2,)), 16, height, 8 - height)
    for n in (1, 5):
        artifact = compare(interpreter, graph, DType.FLOAT16, n, target=90, tiling=SmallTiling(box=box), least=0.5)
        assert artifact.source.count("(upconv, upconv_tma)") == 1


@pytest.mark.parametrize(("dtype", "split"), [(DType.TF32, 2), (DType.FLOAT16, 1)])
@pytest.mark.parametrize("rows", [1, 15, 16, 17])
def test_products_at_the_edges_of_their_tiles(interpreter: Interpreter, rows: int, split: int, dtype: DType) -> None:
    """Every number of columns and every depth that a box can have, in one net."""
    builder = GraphBuilder("Products")
    for depth in (8, 16, 40):
        x = builder.input(f"x{depth}", TensorType((depth,)))
        (x,) = builder.node(Relu(), (x,), name=f"relu{depth}")
        for columns in (8, 16, 24):
            (y,) = builder.node(Fc(columns), (x,), name=f"fc{depth}.{columns}")
            builder.result(f"y{depth}.{columns}", y)
    tiling = SmallTiling(split=split)
    artifact = compare(interpreter, builder.finish(), dtype, rows, target=90, tiling=tiling, least=0.5)
    assert artifact.source.count("(gemm, gemm_tma)") == 9


def tails() -> Graph:
    """Tails with operands of every extent, in every place; of the result's size, they are fetched as boxes.

    No extent is a multiple of a box: without any one mask a kernel reads outside of some operand.
    """
    builder = GraphBuilder("Tails")
    x = stored(builder, "x", 24, 5, 5)
    gate = builder.input("gate", TensorType((24, 1, 1)))
    row = builder.input("row", TensorType((1, 1, 5)))
    column = builder.input("column", TensorType((1, 5, 1)))
    one = builder.input("one", TensorType((1,)))
    table = builder.parameter("table", (24, 5, 5), ONES)
    anchors: tuple[Op, ...] = (Conv(24, (1,)), Conv(24, (3,), padding=(1,)), UpConv(24, (3,), padding=(1,)))
    for index, anchor in enumerate(anchors):
        (y,) = builder.node(anchor, (x,), name=f"anchor{index}")
        for number, (op, others, place) in enumerate(
            (
                (Sub(), (x,), 0),
                (Add(), (x, gate), 2),
                (Sub(), (gate,), 1),
                (Mul(), (row,), 0),
                (Mul(), (column,), 1),
                (PRelu(), (), 0),
                (Add(), (table, one), 1),
            )
        ):
            (y,) = builder.node(op, [*others[:place], y, *others[place:]], name=f"tail{index}.{number}")
        builder.result(f"y{index}", y)
    return builder.finish()


@pytest.mark.parametrize("dtype", DTYPES)
def test_tails_with_operands_of_every_extent_agree(interpreter: Interpreter, dtype: DType) -> None:
    artifact = compare(interpreter, tails(), dtype, 3, target=90, tiling=SmallTiling(split=2), factor=2)
    assert artifact.source.count("_tma(") >= 2


@pytest.mark.parametrize("name", sorted(NETS))
def test_small_nets_agree(interpreter: Interpreter, name: str) -> None:
    compare(interpreter, make(name), DType.TF32, 3, factor=4, target=90, tiling=SmallTiling(split=2))


def test_what_the_copy_engine_cannot_fetch_has_no_twin() -> None:
    """Inputs of the network, channels that are no multiple of 16 bytes, odd maps at stride 2, exact float32."""
    builder = GraphBuilder("Input")
    x = builder.input("x", TensorType((16,)))
    (y,) = builder.node(Fc(16), (x,), name="fc")
    graphs = [
        (builder.result("y", y).finish(), DType.FLOAT16),
        (convolution(Conv(16, (3,)), 20, 5, 5), DType.FLOAT16),
        (convolution(Conv(20, (3,)), 16, 5, 5), DType.FLOAT16),
        (convolution(Conv(16, (3,), (2,)), 16, 5, 6), DType.FLOAT16),
        (convolution(Conv(16, (3,), (3,)), 16, 6, 6), DType.FLOAT16),
        (convolution(Conv(16, (3,)), 16, 6, 6), DType.FLOAT32),
    ]
    assert ["_tma" in compile_graph(graph, dtype).source for graph, dtype in graphs] == [False] * 6
    assert "_tma" in compile_graph(convolution(Conv(16, (3,)), 16, 6, 6), DType.FLOAT16).source
