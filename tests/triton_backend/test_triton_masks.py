"""No kernel has a mask too few or too many: with any one of them taken away, the same net gives an error.

A net of every template is interpreted between margins of NaN, whole, then with each mask, each term of a mask, each
value that stands for what is masked and each extent of a box's tensor in turn taken away or made larger.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from interpreted import TOLERANCE, Interpreter, SmallTiling, difference, random_inputs, random_weights
from mutants import Finder
from small_nets import single
from test_triton_aot import PARTS
from test_triton_headed import bottleneck
from test_triton_separable import depthwise, separable
from test_triton_stems import LARGEST, TWO, stem
from test_triton_tma import convolution, stored

from netdsl.codegen.render import environment
from netdsl.codegen.triton.backend import PACKAGE, compile_graph
from netdsl.codegen.triton.work import Headed, Pair, Product, Separable, Tables, Tile
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph, Value
from netdsl.ops import (
    LRN,
    AdaptivePool,
    Add,
    Attend,
    Conv,
    Fc,
    Gather,
    GroupNorm,
    Gru,
    Largest,
    LayerNorm,
    LogSoftmax,
    Lstm,
    MatMul,
    Mean,
    Mul,
    Nms,
    Pad,
    Pool,
    PRelu,
    Relu,
    RoiAlign,
    RoiPool,
    Softmax,
    TopK,
    Unpool,
    UpConv,
)
from netdsl.ops.base import Op
from netdsl.reference.interpret import interpret
from netdsl.tensor import DType, TensorType

pytestmark = pytest.mark.triton
FLOAT, HALF, EIGHT, BOOL = DType.FLOAT32, DType.FLOAT16, DType.FLOAT8, DType.BOOL


@dataclass(frozen=True)
class Deep(SmallTiling):
    """Steps of the depth longer than the padding of weights; rows that are read again instead of being held."""

    depth: int = 32
    held: bool = True
    columns: int = 16

    def matrix(self, product: Product, shape: str) -> Tables:
        usual = ((1, Tile(16, self.columns, self.depth)),)
        box = self.boxes[product.boxes]
        return ((80, usual), (90, ((1, Tile(16, self.columns, self.depth, split=self.split, box=box)),)))

    def pair(self, pair: Pair, shape: str = "") -> Tables:
        usual = super().pair(pair, shape)
        if not isinstance(pair, Separable | Headed):
            return usual
        return tuple((target, tuple((n, tile and replace(tile, k=self.depth)) for n, tile in t)) for target, t in usual)

    def pixels(self, columns: int) -> tuple[int, int]:
        return 16, self.columns

    def rows(self, depth: int, along_rows: bool) -> tuple[int, int]:
        return super().rows(depth, along_rows) if self.held else (1024, 16)


WIDE = Deep(columns=32)
"""Tiles of more columns than there are: rows of float8 are whole boxes."""


@dataclass(frozen=True)
class Case:
    """A net, and how it is compiled and run.

    poisoned  inputs that hold NaN in a second pass: all by default.
    infinite  in a third pass all of the last axis but its last element is -inf, or hidden by a mask.
    """

    graph: Graph
    dtype: DType = FLOAT
    n: int = 1
    tiling: SmallTiling = SmallTiling()  # noqa: RUF009
    target: int = 80
    poisoned: tuple[str, ...] | None = None
    infinite: bool = False


def layer(op: Op, *shapes: tuple[int, ...], **options: Any) -> Case:
    return Case(single(op, tuple(map(TensorType, shapes))), **options)


def tail(*ops: Op, shape: tuple[int, ...], axis: int = 0) -> Graph:
    """Layers, then a sum with a gate, which has a number for each channel and place of an axis, and a map's product."""
    builder = GraphBuilder("Tail")
    y = builder.input("x", TensorType(shape))
    for index, op in enumerate(ops):
        (y,) = builder.node(op, (y,), name=f"layer{index}")
    extents = (extent if place in (0, axis) else 1 for place, extent in enumerate(y.type.shape))
    gate = builder.input("gate", TensorType(tuple(extents)))
    for op, other in ((Add(), gate), (Mul(), builder.input("map", y.type))):
        (other,) = builder.node(Relu(), (other,), name=f"stored.{other.name}")  # boxes are never fetched from inputs
        (y,) = builder.node(op, (y, other), name=op.word)
    return builder.result("y", y).finish()


def located(builder: GraphBuilder, y: Value) -> Graph:
    """A product with a map, and sums with what all pixels and what all channels share, which are read by pointers."""
    (y,) = builder.node(Mul(), (y, stored(builder, "map", *y.type.shape)), name="mul")
    for name, shape in (("gate", (y.type.shape[0], 1, 1)), ("spot", (1, *y.type.shape[1:]))):
        (y,) = builder.node(Add(), (y, builder.input(name, TensorType(shape))), name=f"add.{name}")
    return builder.result("y", y).finish()


def boxed(*ops: Op, shape: tuple[int, int, int]) -> Graph:
    """Layers on a map that is fetched in boxes."""
    builder = GraphBuilder("Boxed")
    y = stored(builder, "x", *shape)
    for index, op in enumerate(ops):
        (y,) = builder.node(op, (y,), name=f"layer{index}")
    return located(builder, y)


def summed() -> Graph:
    """The sum of two 1x1 convolutions, at stride 1 and 2."""
    builder = GraphBuilder("Summed")
    maps = (stored(builder, "x0", 64, 3, 3), stored(builder, "x1", 64, 6, 6))
    sides = [builder.node(Conv(8, (1,), (i + 1,)), (x,), name=f"conv{i}")[0] for i, x in enumerate(maps)]
    (y,) = builder.node(Add(), sides, name="sum")
    return located(builder, y)


def eights(*ops: Op, height: int, width: int, channels: int = 24) -> Graph:
    """Layers between two 1x1 convolutions: the first of them reads float8."""
    builder = GraphBuilder("Eights")
    y = builder.input("x", TensorType((8, height, width)))
    for index, op in enumerate((Conv(channels, (1,)), Relu(), *ops, Relu(), Conv(8, (1,)))):
        (y,) = builder.node(op, (y,), name=f"layer{index}")
    return builder.result("y", y).finish()


def unpooled() -> Graph:
    builder = GraphBuilder("Unpool")
    x = builder.input("x", TensorType((5, 6, 5)))
    y, at = builder.node(Pool("max", (2,), indices=True), (x,), name="pool")
    (y,) = builder.node(Unpool((2,), to=(6, 5)), (y, at), name="unpool")
    return builder.result("y", y).finish()


BOXED: dict[str, Any] = {"n": 1, "target": 90}
TALL = (2, 4, 4)
PADDED = ((2,), (1,), (0, 0, 1, 1))
CASES: dict[str, tuple[Case, ...]] = {
    # Of the keys that a query does not see it reads some, at weight 0.
    "attention": (
        layer(Attend(2, causal=True), (9, 10), (5, 20), poisoned=()),
        Case(single(Attend(), (TensorType((9, 12)), TensorType((9,), BOOL))), n=2, poisoned=(), infinite=True),
        Case(single(Attend(), (TensorType((9, 12)), TensorType((9, 9), BOOL))), poisoned=()),
    ),
    "conv_gemm_tma": (
        Case(
            boxed(Conv(64, *PADDED), Relu(), Conv(8, (1,)), shape=(24, 3, 3)),
            HALF,
            tiling=SmallTiling(box=TALL),
            **BOXED,
        ),
    ),
    "conv_implicit_gemm": (
        Case(tail(Conv(9, (2,), padding=(1,)), shape=(17, 2, 2))),
        layer(Conv(9, (3,), padding=(1,)), (5, 4, 3), tiling=Deep()),
        Case(tail(UpConv(17, (2, 1), (2, 1)), shape=(17, 3, 3)), n=2),
    ),
    "conv_implicit_gemm: float8": (Case(eights(Conv(8, (2,), padding=(1,)), height=2, width=2), EIGHT),),
    "conv_pool": (Case(stem(Conv(8, (4, 3), padding=(1,)), LARGEST, 8, 9, after=(PRelu(),)), HALF),),
    "conv_pool_tma": (
        Case(boxed(Conv(8, *PADDED), Relu(), TWO, shape=(16, 6, 6)), HALF, tiling=SmallTiling(box=(2, 8, 8)), **BOXED),
    ),
    "conv_sum_tma": (Case(summed(), HALF, tiling=SmallTiling(split=2, box=TALL), **BOXED),),
    "conv_tma": (
        Case(boxed(Conv(8, *PADDED), shape=(24, 3, 3)), HALF, tiling=Deep(box=TALL), **BOXED),
        Case(convolution(Conv(8, (2,), (2,), (1,)), 16, 4, 4), HALF, tiling=SmallTiling(split=2), **BOXED),
    ),
    "conv_tma: float8": (Case(eights(Conv(16, *PADDED), height=1, width=3, channels=16), EIGHT, tiling=WIDE, **BOXED),),
    "depthwise": (Case(tail(Conv(5, (3,), padding=(1,), groups=5), shape=(5, 3, 3))),),
    "depthwise_gemm": (
        Case(separable(depthwise(9, (2,), padding=(1,)), (9, 2, 2), 9, between=(Relu(),)), HALF, tiling=Deep()),
    ),
    "gemm": (
        Case(tail(Fc(9), shape=(9,)), n=9),
        layer(MatMul(), (2, 9, 9), (2, 9, 9)),
        Case(eights(Conv(8, (1,)), height=3, width=3), EIGHT),
    ),
    "gemm: head": (Case(bottleneck(9, 3, 3, 9), tiling=Deep(), poisoned=("residual",)),),
    "gemm_tma": (Case(tail(Relu(), Fc(8), shape=(40,)), HALF, 9, Deep(split=2), 90),),
    "gemm_tma: float8": (Case(eights(Conv(16, (1,)), height=3, width=3, channels=16), EIGHT, tiling=WIDE, **BOXED),),
    "nms": (layer(Nms(9, 0.2), (17, 4), (17,), n=2),),
    "normalize": (
        layer(GroupNorm(3), (9, 3, 3), n=2),
        layer(LayerNorm(), (3, 9), n=2),
        layer(LayerNorm(axis=0), (9, 5)),
        layer(GroupNorm(3), (9, 3, 3), n=2, tiling=Deep(held=False)),
    ),
    "pointwise": (
        Case(tail(Relu(), shape=(5, 9))),
        layer(Pad((1, 2, 0, 1)), (3, 3, 5)),
        layer(LRN(3), (5, 2, 2)),
        Case(single(Gather(), (TensorType((9, 4)), TensorType((5,), DType.INT64))), n=2),
        layer(RoiPool((2, 2), 4), (3, 5, 5), (5, 4), poisoned=("x0",)),
        layer(RoiAlign((2, 2), 8), (3, 5, 5), (11, 4), poisoned=("x0",)),
    ),
    "pool": (
        layer(Pool("max", (3,), (2,), (1,)), (5, 4, 5)),
        layer(Pool("max", (3,), (2,), (1,), indices=True), (5, 4, 5), poisoned=(), infinite=True),
        layer(Pool("avg", (3,), (2,), (1,), ceil=True), (5, 4, 4)),
        layer(AdaptivePool("avg", (3, 3)), (5, 5, 5)),
    ),
    "pool: float8": (
        Case(eights(Pool("max", (3,), (2,), (1,)), Conv(8, (1,)), height=3, width=3), EIGHT, tiling=WIDE),
    ),
    "recurrence": (
        layer(Lstm(33, initial=True), (2, 5), (33,), (33,)),
        layer(Lstm(3), (2, 5), n=9),
        layer(Gru(33, initial=True), (2, 5), (33,)),
        layer(Gru(3), (2, 5), n=9),
    ),
    "reduce": (
        layer(Mean(), (5, 17)),
        layer(Largest((0,)), (17, 5)),
    ),
    "softmax": (
        layer(Softmax(), (5, 17)),
        layer(LogSoftmax(0), (17, 5)),
        layer(Softmax(), (5, 17), tiling=Deep(held=False), infinite=True),
    ),
    "top_k": (layer(TopK(5), (3, 37)),),
    "unpool": (Case(unpooled()),),
    "upconv_tma": (
        Case(tail(Relu(), UpConv(24, (1, 2), (1, 2)), shape=(40, 5, 5), axis=2), HALF, tiling=Deep(split=2), **BOXED),
    ),
}


def template_of(name: str) -> str:
    """What stands before the colon, where a template has several entries."""
    return name.partition(":")[0]


def passes(case: Case) -> list[dict[str, Any]]:
    """Inputs: random ones, once more with NaN as the last element of each sample, and with infinite ones if need be."""
    inputs, poisoned, *infinite = (random_inputs(case.graph, case.dtype, case.n) for _ in range(2 + case.infinite))
    for name, array in poisoned.items():
        if array.dtype == np.float32 and (case.poisoned is None or name in case.poisoned):
            array.reshape(len(array), -1)[:, -1] = np.nan
    for given in infinite:
        masks = [array for array in given.values() if array.dtype == bool]
        for array in masks or given.values():
            array[..., :-1] = True if masks else -np.inf
    return [inputs, poisoned, *infinite]


@pytest.mark.parametrize("name", CASES)
def test_every_mask_is_needed(interpreter: Interpreter, name: str) -> None:
    needed: dict[str, str] = {}
    template = template_of(name)
    for case in CASES[name]:
        artifact = compile_graph(case.graph, case.dtype, tiling=case.tiling)
        weights, inputs = random_weights(case.graph, case.dtype), passes(case)
        launched = set()
        for given in inputs:
            found = interpreter.run(artifact.source, given, weights, case.target)
            for ours, wanted in zip(found, interpret(case.graph, given, weights, np.float64), strict=True):
                assert difference(ours, wanted, 0.5) <= TOLERANCE.get(case.dtype, 0.1)
            launched |= interpreter.kernels
        names = sorted(launched.intersection(re.findall(rf"  kernel (\w+) = {template} ", artifact.plan)))
        mutants = {f"{item.what}: {item.statement}": item for item in Finder(artifact.source).mutants(names)}
        rest = {key: item for key, item in mutants.items() if not needed.get(key)}
        assert mutants
        given = [(item.kernel, item.text) for item in rest.values()]
        faults, boxes = interpreter.faults(artifact.source, inputs, weights, given, case.target)
        needed |= dict(zip(rest, faults, strict=True))
        needed |= {key: fault or needed.get(key, "") for key, fault in boxes.items()}
    assert [key for key, fault in needed.items() if not fault] == []


def test_every_template_has_a_net() -> None:
    templates = environment(PACKAGE).list_templates(filter_func=lambda name: name.endswith(".py.j2"))
    assert set(map(template_of, CASES)) == {name.removesuffix(".py.j2") for name in templates} - set(PARTS)
