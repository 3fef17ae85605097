"""Small graphs for the tests of the IR and the passes: every pattern that a pass looks for, and its near misses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph, Value
from netdsl.ops import activation as act
from netdsl.ops import elementwise as ew
from netdsl.ops import maps, pieces
from netdsl.ops import shape as sh
from netdsl.ops.base import ONES, Init, Op, Types
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.linear import Fc, MatMul
from netdsl.ops.noise import Dropout, DropPath
from netdsl.ops.norm import LRN, BatchNorm, GroupNorm, LayerNorm
from netdsl.ops.pool import Pool, Unpool
from netdsl.ops.recurrent import Gru, Lstm
from netdsl.ops.reduce import Mean
from netdsl.ops.style import ModConv
from netdsl.tensor import Layout, TensorType

Net = Callable[["Builder"], Any]
NETS: dict[str, Net] = {}


class Builder:
    """A GraphBuilder that names layers after their word: `conv`, `conv2`, ..."""

    def __init__(self, name: str) -> None:
        self.graph = GraphBuilder(name)
        self.count: dict[str, int] = {}

    def input(self, *shape: int, name: str = "x") -> Value:
        return self.graph.input(name, TensorType(shape))

    def all(self, op: Op, *inputs: Value, name: str = "", **options: Any) -> tuple[Value, ...]:
        count = self.count[op.word] = self.count.get(op.word, 0) + 1
        return self.graph.node(op, inputs, name=name or f"{op.word}{count if count > 1 else ''}", **options)

    def __call__(self, op: Op, *inputs: Value, **options: Any) -> Value:
        (value,) = self.all(op, *inputs, **options)
        return value

    def chain(self, value: Value, *ops: Op) -> Value:
        for op in ops:
            value = self(op, value)
        return value

    def finish(self, *results: Value) -> Graph:
        for index, value in enumerate(results):
            self.graph.result(f"y{index}", value)
        return self.graph.finish()


def small(net: Net) -> Net:
    NETS[net.__name__] = net
    return net


def make(name: str) -> Graph:
    builder = Builder(name)
    results = NETS[name](builder)
    return builder.finish(*(results if isinstance(results, tuple) else (results,)))


def conv3(out: int, **options: Any) -> Conv:
    return Conv(out, (3,), **{"padding": (1,), **options})


@small
def lenet(b: Builder) -> Value:
    x = b.chain(b.input(1, 10, 9), Conv(4, (5,), padding=(2,)), act.Relu(), Pool("max", (2,)))
    x = b.chain(x, conv3(6), act.Relu(), Pool("avg", (2,)), sh.Flatten())
    return b.chain(x, Fc(7), act.Relu(), Dropout(), Fc(3), act.Softmax())


@small
def residual(b: Builder) -> Value:
    x = b.chain(b.input(3, 6, 5), conv3(4, bias=False), BatchNorm(), act.Relu())
    y = b.chain(x, conv3(4, bias=False), BatchNorm(), act.Relu(), conv3(4, bias=False), BatchNorm())
    return b(act.Relu(), b(ew.Add(), y, x))


@small
def projection(b: Builder) -> Value:
    x = b.input(3, 7, 5)
    y = b.chain(x, conv3(4, stride=(2,)), BatchNorm())
    z = b.chain(x, Conv(4, (1,), (2,), bias=False), BatchNorm())
    return b.chain(b(ew.Add(), y, z), act.LeakyRelu(0.1), Pool("avg", whole=True), sh.Flatten(), Fc(2))


@small
def norms_fold(b: Builder) -> tuple[Value, ...]:
    x = b.input(4, 5, 7)
    grouped = b.chain(x, conv3(8, groups=2), BatchNorm(eps=1e-3))
    depthwise = b.chain(x, conv3(4, groups=4, bias=False), BatchNorm(affine=False))
    up = b.chain(x, UpConv(6, (2,), (2,)), BatchNorm())
    up_grouped = b.chain(x, UpConv(6, (3,), (2,), groups=2, bias=False), BatchNorm())
    line = b.chain(b.input(3, 9, name="line"), conv3(5), BatchNorm())
    features = b.chain(b.input(6, name="features"), Fc(5), BatchNorm(), act.Silu())
    return grouped, depthwise, up, up_grouped, line, features


@small
def norms_stay(b: Builder) -> tuple[Value, ...]:
    x = b.input(4, 5, 6)
    twice = b(conv3(4), x)
    result = b(conv3(4, bias=False), x)
    tokens = b(Fc(3), b.input(5, 4, name="tokens"))
    return (
        b(ew.Add(), b(BatchNorm(), twice), b(act.Sigmoid(), twice)),
        b(BatchNorm(affine=False), result),
        result,
        b(BatchNorm(), tokens),
        b.chain(x, BatchNorm(), act.Relu(), conv3(2)),
        b(BatchNorm(), b.input(3, name="numbers")),
    )


@small
def dense(b: Builder) -> Value:
    x = b(conv3(4), b.input(3, 6, 6))
    for _ in range(3):
        y = b.chain(
            x, BatchNorm(), act.Relu(), Conv(8, (1,), bias=False), BatchNorm(), act.Relu(), conv3(2, bias=False)
        )
        x = b(pieces.Concat(), x, y)
    return b.chain(x, BatchNorm(), act.Relu(), Conv(3, (1,)), Pool("avg", (2,)))


@small
def grown(b: Builder) -> tuple[Value, ...]:
    """Lists that grow, joined afresh each time; a value joined twice, in two lists, and as it came in."""
    x = b.input(3, 6, 5)
    values = [b(conv3(4), x), b(conv3(2), x)]
    for width in (3, 2):
        joined = b(pieces.Concat(), *values)
        values.append(b.chain(joined, conv3(width), act.Relu()))
    twice = b(pieces.Concat(), values[0], values[-1], values[0])
    nested = b(pieces.Concat(), x, b(pieces.Concat(), *values), twice)
    alone = b(Conv(6, (3,), padding=(1,), groups=6), b(pieces.Concat(), values[0], values[1]))
    return b(Conv(3, (1,)), nested), b(Pool("max", (2,)), twice), alone, values[-1]


@small
def squeeze(b: Builder) -> Value:
    x = b(conv3(6), b.input(3, 5, 6))
    gate = b.chain(x, Pool("avg", whole=True), Conv(2, (1,)), act.Relu(), Conv(6, (1,)), act.HardSigmoid())
    return b.chain(b(ew.Mul(), x, gate), act.HardSwish(), LRN(), GroupNorm(groups=2))


@small
def identities(b: Builder) -> Value:
    x = b.chain(b.input(3, 6, 4), Dropout(0.2), DropPath(0.1), ew.Scale(1.0), ew.Shift(0.0), act.Relu(), act.Relu())
    x = b.chain(x, maps.Pad((0,)), maps.Crop(padding=(0,)), maps.Upsample(stride=(1,)), Pool("max", (1,)))
    x = b.chain(x, sh.Transpose((1, 2, 0)), sh.Transpose((2, 0, 1)), sh.Transpose((2, 1, 0)), sh.Transpose((1, 0, 2)))
    x = b.chain(x, sh.Reshape((8, 9)), sh.Reshape((4, 3, 6)), sh.Reshape((4, 3, 6)), sh.Flatten(), sh.Flatten())
    return b.chain(x, act.Relu6(), act.Relu(), act.Clamp(-1.0, 1.0), act.Clamp(-1.0, 1.0), pieces.Slice(0, 72))


@small
def pads(b: Builder) -> tuple[Value, ...]:
    x = b.input(3, 6, 5)
    zeros = b(maps.Pad((1, 2, 0, 1)), x)
    return (
        b(conv3(4), zeros),
        b.chain(x, maps.Pad((1,), mode="reflect"), Conv(2, (3,))),
        b.chain(x, maps.Pad((2,), value=1.0), Conv(2, (3,))),
        zeros,
    )


@small
def joins(b: Builder) -> Value:
    x, y = b.input(3, 4, 5), b.input(3, 1, 1, name="y")
    z = b.chain(b(ew.Sub(), x, y), act.Abs(), ew.Shift(0.5))
    z = b(ew.Div(eps=0.1), b(ew.Maximum(), z, x, y), b.chain(x, act.Exp(), act.Softplus()))
    z = b.chain(b(ew.Add(), z, z), act.PRelu(), ew.Scale(2.0), act.PRelu(single=True), act.Gelu(), act.Tanh())
    return b(ew.Minimum(), z, b(act.Elu(), z))


@small
def shared(b: Builder) -> tuple[Value, ...]:
    x, y = b.input(3, 5, 6), b.input(3, 4, 4, name="y")
    results = []
    for index, value in enumerate((x, y, x)):
        once = {"shared": "head.conv"} if index else {}
        norm = {"shared": "head.bn"} if index else {}
        z = b(conv3(4), value, name="head.conv", scope="head", **once)
        results.append(b(BatchNorm(), z, name="head.bn", scope="head", **norm))
    return tuple(results)


@small
def unpool(b: Builder) -> Value:
    x = b(conv3(4), b.input(2, 6, 8))
    small, places = b.all(Pool("max", (2,), indices=True), x)
    return b(Unpool((2,), (2,)), b(act.Relu(), small), places)


@small
def attention(b: Builder) -> Value:
    x = b.chain(b.input(4, 3, 3), conv3(6), sh.Tokens(), LayerNorm())
    scores = b.chain(b(MatMul(transpose_b=True), b(Fc(4), x), b(Fc(4), x)), ew.Scale(0.5), act.Softmax())
    x = b(ew.Add(), x, b.chain(b(MatMul(), scores, x), Fc(6)))
    return b.chain(x, Fc(12), act.Gelu(tanh=True), Fc(6), Mean((0,)))


@small
def shuffled(b: Builder) -> Value:
    x = b(conv3(8), b.input(3, 6, 6))
    left, right = b.all(pieces.Split(4), x)
    right = b.chain(right, Conv(4, (1,)), BatchNorm(), act.Relu())
    x = b(maps.Shuffle(2), b(pieces.Concat(), left, right))
    return b(ew.Mul(), b(pieces.Slice(0, 8, step=2), x), b.chain(x, pieces.Take(3), sh.Reshape((1, 6, 6))))


@small
def encoder_decoder(b: Builder) -> Value:
    wide = b.chain(b.input(1, 12, 11), Conv(4, (3,)), act.Relu())
    low = b.chain(wide, Pool("max", (2,)), Conv(6, (3,)), act.Relu())
    up = b(UpConv(4, (2,), (2,)), low)
    x = b(pieces.Concat(), b(maps.Crop(), wide, up), up)
    return b.chain(x, conv3(4), act.Relu(), maps.Upsample("bilinear", (2,)), Conv(2, (1,)), maps.PixelShuffle(1))


@small
def constants(b: Builder) -> Value:
    x = b.input(4, 3, 2)
    style = b.graph.parameter("style", (4, 1, 1), Init("normal", 1.0))
    gain = b.graph.parameter("gain", (4, 1, 1), ONES, trainable=False)
    return b(ew.Add(), b(ew.Mul(), x, b.chain(style, act.Exp())), b(ew.Mul(), style, gain))


@small
def borders(b: Builder) -> tuple[Value, ...]:
    x = b.input(2, 3, 4)
    y = b(conv3(2), x)
    flat = b(sh.Flatten(), y)
    heads = b(ew.Add(), b(Fc(3), flat), b.chain(flat, Fc(3), act.Relu()))
    return x, y, heads, b(sh.Flatten(), b(act.Relu(), y)), b(act.Softmax(axis=0), y), b(Mean(), y)


@small
def duplicates(b: Builder) -> Value:
    x = b.input(3, 4, 4)
    left, right = b.chain(x, act.Relu(), act.Tanh()), b.chain(x, act.Relu(), act.Tanh())
    b(conv3(5), left)
    return b(ew.Sub(), b(pieces.Concat(), left, right), b(pieces.Concat(), right, left))


@small
def gated(b: Builder) -> Value:
    x = b(sh.Flatten(), b(conv3(4), b.input(3, 3, 2)))
    return b(ew.Mul(), b.chain(x, Fc(24), act.Sigmoid()), x)


@small
def styled(b: Builder) -> Value:
    x = b(conv3(4), b.input(3, 5, 4))
    return b(ModConv(5, (3,), (2,), transposed=True), x, b(Mean((1, 2)), x))


@small
def recurrent(b: Builder) -> tuple[Value, ...]:
    x = b.input(4, 5)
    y, h, c = b.all(Lstm(3, state=True), b(Gru(6), x))
    return y, h, *b.all(Lstm(3, reverse=True, initial=True, state=True), x, h, c)


@small
def nothing(b: Builder) -> Value:
    return b.input(3)


OPERATIONS: tuple[Callable[[], Op], ...] = (
    lambda: conv3(4),
    lambda: conv3(4, groups=2, bias=False),
    lambda: UpConv(4, (3,), padding=(1,)),
    BatchNorm,
    lambda: BatchNorm(affine=False),
    act.Relu,
    act.Sigmoid,
    act.PRelu,
    lambda: ew.Scale(0.5),
    lambda: ew.Scale(1.0),
    Dropout,
    lambda: Pool("max", (3,), (1,), (1,)),
    lambda: maps.Shuffle(2),
    lambda: sh.Transpose((0, 2, 1)),
)
PAIRS: tuple[Callable[[], Op], ...] = (ew.Add, ew.Mul, ew.Maximum, ew.Sub)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Random networks on 4 x 5 x 5 maps: every step reads any earlier value, and any value may be a result."""
    b = Builder("random")
    values = [b.input(4, 5, 5)]
    for _ in range(draw(st.integers(1, 12))):
        recent = st.sampled_from(values[-3:])
        if draw(st.integers(0, 3)):
            values.append(b(draw(st.sampled_from(OPERATIONS))(), draw(recent)))
        else:
            values.append(b(draw(st.sampled_from(PAIRS))(), draw(recent), draw(st.sampled_from(values))))
    extra = draw(st.lists(st.sampled_from(values), max_size=1))
    x = b.chain(values[-1], sh.Flatten(), Fc(3)) if draw(st.booleans()) else values[-1]
    return b.finish(x, *extra)


def single(op: Op, types: Types) -> Graph:
    """A graph of one layer. Operands that do not depend on the sample are weights; if all are, the result scales x."""
    builder = GraphBuilder("Single")
    operands = [
        builder.input(f"x{i}", type._replace(layout=Layout.CHANNELS_FIRST))
        if type.batch
        else builder.parameter(f"w{i}", type.shape, ONES)
        for i, type in enumerate(types)
    ]
    results = builder.node(op, operands, name="layer")
    if not any(type.batch for type in types):
        x = builder.input("x", results[0].type._replace(batch=1))
        results = builder.node(ew.Mul(), (x, results[0]), name="scaled")
    for i, result in enumerate(results):
        builder.result(f"y{i}", result)
    return builder.finish()
