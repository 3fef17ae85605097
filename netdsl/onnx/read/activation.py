"""Activations, some of them made of several operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import isinf

import numpy as np

from netdsl.onnx.read.align import join
from netdsl.onnx.read.call import Call, Operand, unary
from netdsl.onnx.read.functions import constant, function, mapped, scalar, scaled, shifted, short
from netdsl.onnx.read.net import Net
from netdsl.onnx.read.values import BATCH, Known, View
from netdsl.ops import activation as act
from netdsl.ops import elementwise as arithmetic
from netdsl.ops import function as fn

SIXTH = 1 / 6
SELU = (1.67326319217681884765625, 1.05070102214813232421875)


def clip(call: Call) -> View:
    """Between two bounds, either of which may be left out or computed."""
    view = call.view(0)
    bounds: list[Operand | None] = []
    for index, name in ((1, "min"), (2, "max")):
        given = call.operand(index) if call.has(index) else None
        if given is None and name in call.attributes:
            given = Known(np.float32(call.number(name, 0.0)).reshape(1))
        bounds.append(given)
    low, high = (scalar(b) if b is not None else none for b, none in zip(bounds, (-np.inf, np.inf), strict=True))
    if low is None or high is None:
        for bound, op in zip(bounds, (arithmetic.Maximum(), arithmetic.Minimum()), strict=True):
            view = join(call.net, op, (view, bound)) if bound is not None else view
        return view
    return bounded(call.net, view, float(low), float(high))


def bounded(net: Net, view: View, low: float, high: float) -> View:
    """`min(max(x, low), high)`; infinite bounds are none."""
    largest = float(np.finfo(np.float32).max)
    low, high = (-np.inf if low <= -largest else low), (np.inf if high >= largest else high)
    if low == 0 and isinf(high):
        return mapped(net, view, act.Relu())
    if (low, high) == (0, 6):
        return mapped(net, view, act.Relu6())
    if not isinf(low) and not isinf(high) and low <= high:
        return mapped(net, view, act.Clamp(low, high))
    for number, op in ((low, arithmetic.Maximum()), (high, arithmetic.Minimum())):
        if not isinf(number):
            view = join(net, op, (view, constant(number)), view.whole)
    return view


def leaky_relu(call: Call) -> View:
    """With its slope below zero."""
    return unary(call, act.LeakyRelu(short(call.number("alpha", 0.01))))


def elu(call: Call) -> View:
    """With its limit below zero."""
    return unary(call, act.Elu(short(call.number("alpha", 1.0))))


def selu(call: Call) -> View:
    """gamma * elu(x, alpha), by its own word where the constants are the paper's."""
    alpha, gamma = call.number("alpha", SELU[0]), call.number("gamma", SELU[1])
    if abs(alpha - SELU[0]) < 1e-6 and abs(gamma - SELU[1]) < 1e-6:
        return unary(call, act.Selu())
    return mapped(call.net, call.view(0), act.Elu(short(alpha)), arithmetic.Scale(short(gamma)))


def celu(call: Call) -> View:
    """alpha * elu(x / alpha)."""
    alpha = short(call.number("alpha", 1.0))
    view = scaled(call.net, call.view(0), 1 / alpha)
    return scaled(call.net, mapped(call.net, view, act.Elu()), alpha)


def gelu(call: Call) -> View:
    """Exact, or by tanh."""
    return unary(call, act.Gelu(tanh=call.text("approximate", "none") == "tanh"))


def hard_sigmoid(call: Call) -> View:
    """clamp(alpha x + beta, 0, 1)."""
    alpha, beta = short(call.number("alpha", 0.2)), short(call.number("beta", 0.5))
    if abs(alpha - SIXTH) < 1e-6 and beta == 0.5:
        return unary(call, act.HardSigmoid())
    view = shifted(call.net, scaled(call.net, call.view(0), alpha), beta)
    return mapped(call.net, view, act.Clamp(0.0, 1.0))


def swish(call: Call) -> View:
    """x * sigmoid(alpha x)."""
    alpha = short(call.number("alpha", 1.0))
    if alpha == 1:
        return unary(call, act.Silu())
    view = call.view(0)
    return join(call.net, arithmetic.Mul(), (view, mapped(call.net, scaled(call.net, view, alpha), act.Sigmoid())))


def mish(call: Call) -> View:
    """x * tanh(softplus(x))."""
    view = call.view(0)
    return join(call.net, arithmetic.Mul(), (view, mapped(call.net, view, act.Softplus(), act.Tanh())))


def softsign(call: Call) -> View:
    """x / (1 + |x|)."""
    view = call.view(0)
    return join(call.net, arithmetic.Div(), (view, shifted(call.net, mapped(call.net, view, act.Abs()), 1.0)))


def thresholded_relu(call: Call) -> View:
    """x where it is above alpha, else 0."""
    view = call.view(0)
    above = join(call.net, fn.Compare("greater"), (view, constant(call.number("alpha", 1.0))))
    return join(call.net, fn.Select(), (above, view, constant(0.0)), False)


def shrink(call: Call) -> View:
    """x + bias below -lambd, x - bias above lambd, 0 between them."""
    view = call.view(0)
    lambd, bias = short(call.number("lambd", 0.5)), short(call.number("bias", 0.0))
    above = join(call.net, fn.Compare("greater"), (view, constant(lambd)))
    below = join(call.net, fn.Compare("less"), (view, constant(-lambd)))
    high = join(call.net, fn.Select(), (above, shifted(call.net, view, -bias), constant(0.0)), False)
    return join(call.net, fn.Select(), (below, shifted(call.net, view, bias), high), False)


def prelu(call: Call) -> View:
    """By its own word where the slope is one a channel, else relu(x) + slope * min(x, 0)."""
    view, slope = call.view(0), call.operand(1)
    if isinstance(slope, Known) and view.batch_axis == 0 and view.axes[0] == (BATCH,) and view.rank > 1:
        extents = (1,) * (view.rank - slope.array.ndim) + slope.array.shape
        channels = view.per_sample(1)
        if slope.array.size == 1 or extents == (1, channels, *(1,) * (view.rank - 2)):
            weight = replace(slope, array=slope.array.reshape(-1))
            value = call.net.batch_first(view)
            op = act.PRelu(single=slope.array.size == 1 and channels > 1)
            return call.net.back(call.net.one(op, value, weights=(weight,)), view)
    positive = mapped(call.net, view, act.Relu())
    negative = join(call.net, arithmetic.Mul(), (join(call.net, arithmetic.Minimum(), (view, constant(0.0))), slope))
    return join(call.net, arithmetic.Add(), (positive, negative))


READERS: dict[str, Callable[[Call], View]] = {
    "Relu": function(act.Relu()),
    "Sigmoid": function(act.Sigmoid()),
    "Tanh": function(act.Tanh()),
    "Softplus": function(act.Softplus()),
    "HardSwish": function(act.HardSwish()),
    "LeakyRelu": leaky_relu,
    "PRelu": prelu,
    "Elu": elu,
    "Selu": selu,
    "Celu": celu,
    "Gelu": gelu,
    "HardSigmoid": hard_sigmoid,
    "Swish": swish,
    "Mish": mish,
    "Softsign": softsign,
    "ThresholdedRelu": thresholded_relu,
    "Shrink": shrink,
    "Clip": clip,
}
