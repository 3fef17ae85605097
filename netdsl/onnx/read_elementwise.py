"""Activations, arithmetic, comparisons: functions of elements at equal places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import isinf, pi

import numpy as np

from netdsl.onnx.read_align import join
from netdsl.onnx.read_call import Call, Operand, as_view, unary
from netdsl.onnx.read_net import Net
from netdsl.onnx.read_values import BATCH, Array, Known, Unreadable, View
from netdsl.ops import activation as act
from netdsl.ops import elementwise as arithmetic
from netdsl.ops import function as fn
from netdsl.ops.base import Op

SIXTH = 1 / 6
SELU = (1.67326319217681884765625, 1.05070102214813232421875)


def function(op: Op) -> Callable[[Call], View]:
    """A reader of an operator that has a word of its own in the language."""
    return lambda call: unary(call, op)


def applied(name: str) -> Callable[[Call], View]:
    """A reader of an elementary function."""
    return lambda call: unary(call, fn.Apply(name))


def scaled(net: Net, view: View, factor: float) -> View:
    """`factor * x`."""
    return view if factor == 1 else replace(view, value=net.one(arithmetic.Scale(factor), view.value))


def shifted(net: Net, view: View, amount: float) -> View:
    """`x + amount`."""
    return view if amount == 0 else replace(view, value=net.one(arithmetic.Shift(amount), view.value))


def mapped(net: Net, view: View, *ops: Op) -> View:
    """Functions of single elements, one after the other."""
    for op in ops:
        view = replace(view, value=net.one(op, view.value))
    return view


def scalar(operand: Operand) -> float | None:
    """The number that a constant of one element is."""
    if isinstance(operand, Known) and operand.other is None and operand.array.size == 1:
        return round_trip(operand.array)
    return None


def round_trip(array: Array) -> float:
    """The shortest decimal that gives the same element: 0.1 and not 0.10000000149."""
    number = array.reshape(-1)[0]
    return float(str(number)) if array.dtype.kind == "f" else float(number)


def _shaped_by(call: Call) -> bool:
    """Whether constants of one element leave the shape of the tensors as it is."""
    ranks = [operand.rank for operand in call.operands if isinstance(operand, View)]
    return all(operand.array.ndim <= max(ranks) for operand in call.operands if isinstance(operand, Known))


def _pair(call: Call) -> tuple[Operand, Operand, float | None, float | None]:
    if "axis" in call.attributes or "broadcast" in call.attributes:
        raise Unreadable("it spreads its operands as ONNX did before version 7")
    a, b = call.operand(0), call.operand(1)
    plain = _shaped_by(call)
    return a, b, scalar(a) if plain else None, scalar(b) if plain else None


def add(call: Call) -> View:
    """Sums; of a constant of one element, a shift."""
    a, b, first, second = _pair(call)
    if isinstance(a, View) and second is not None:
        return shifted(call.net, a, second)
    if isinstance(b, View) and first is not None:
        return shifted(call.net, b, first)
    return join(call.net, arithmetic.Add(), (a, b))


def sub(call: Call) -> View:
    """Differences."""
    a, b, first, second = _pair(call)
    if isinstance(a, View) and second is not None:
        return shifted(call.net, a, -second)
    if isinstance(b, View) and first is not None:
        return shifted(call.net, scaled(call.net, b, -1.0), first)
    return join(call.net, arithmetic.Sub(), (a, b))


def mul(call: Call) -> View:
    """Products; with a constant of one element, a scale."""
    a, b, first, second = _pair(call)
    if isinstance(a, View) and second is not None:
        return scaled(call.net, a, second)
    if isinstance(b, View) and first is not None:
        return scaled(call.net, b, first)
    for x, gate in ((a, b), (b, a)):
        if isinstance(x, View) and isinstance(gate, View) and _is_sigmoid(call.net, gate, x):
            return mapped(call.net, x, act.Silu())
    return join(call.net, arithmetic.Mul(), (a, b))


def _is_sigmoid(net: Net, gate: View, x: View) -> bool:
    """x * sigmoid(x) = silu(x)."""
    node = net.maker(gate.value)
    same = (gate.atoms, gate.axes) == (x.atoms, x.axes)
    return same and node is not None and isinstance(node.op, act.Sigmoid) and node.inputs == (x.value,)


def div(call: Call) -> View:
    """Quotients; of whole numbers, cut towards zero."""
    a, b, first, second = _pair(call)
    if isinstance(a, View) and second is not None and second != 0:
        result = scaled(call.net, a, 1 / second)
    elif isinstance(b, View) and first is not None:
        result = scaled(call.net, reciprocal(call.net, b), first)
    else:
        result = join(call.net, arithmetic.Div(), (a, b))
    return mapped(call.net, result, fn.Apply("trunc")) if result.whole else result


def power(call: Call) -> View:
    """Powers; small whole exponents are products."""
    a, b, _, exponent = _pair(call)
    if isinstance(a, View):
        if exponent == 1:
            return a
        if exponent in (2, 3):
            return join(call.net, arithmetic.Mul(), (a,) * int(exponent))
        if exponent == 0.5:
            return mapped(call.net, a, act.Sqrt())
        if exponent == -1:
            return reciprocal(call.net, a)
    whole = isinstance(a, View) and a.whole
    return join(call.net, fn.Power(), (a, b), whole)


def chained(op: Op) -> Callable[[Call], View]:
    """A reader of an operator that takes any number of operands."""

    def read(call: Call) -> View:
        operands = [operand for operand in call.operands if operand is not None]
        if len(operands) == 1:
            return as_view(call.net, operands[0])
        zero = [operand for operand in operands if scalar(operand) == 0 and _shaped_by(call)]
        if isinstance(op, arithmetic.Maximum) and len(operands) == 2 and zero:
            other = next(operand for operand in operands if operand is not zero[0])
            return mapped(call.net, as_view(call.net, other), act.Relu())
        return join(call.net, op, operands)

    return read


def mean(call: Call) -> View:
    """The mean of operands at equal places."""
    operands = [operand for operand in call.operands if operand is not None]
    total = chained(arithmetic.Add())(call)
    return scaled(call.net, total, 1 / len(operands))


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


def constant(number: float) -> Known:
    """A number as a weight of one element, the same wherever it is used."""
    return Known(np.array([number], np.float32), None, f"constant_{number:.7g}".replace("-", "minus_"))


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


def compared(how: str, swapped: bool = False) -> Callable[[Call], View]:
    """A reader of a comparison: 1 where it holds, else 0."""

    def read(call: Call) -> View:
        a, b = call.operand(0), call.operand(1)
        return join(call.net, fn.Compare(how), (b, a) if swapped else (a, b), True)

    return read


def logic(op: Op) -> Callable[[Call], View]:
    """A reader of a function of truth values, which are 0 and 1."""
    return lambda call: join(call.net, op, (call.operand(0), call.operand(1)), True)


def negation(call: Call) -> View:
    """1 - x."""
    return shifted(call.net, scaled(call.net, call.view(0), -1.0), 1.0)


def where(call: Call) -> View:
    """The second operand where the first holds, else the third."""
    operands = [call.operand(index) for index in range(3)]
    whole = all(
        operand.whole if isinstance(operand, View) else operand.array.dtype.kind in "iub" for operand in operands[1:]
    )
    return join(call.net, fn.Select(), operands, whole)


def cast(call: Call) -> View:
    """Real numbers to whole ones lose what follows the point; whole numbers and truth values are real ones already."""
    view = call.view(0)
    if call.op == "CastLike":
        like = call.operand(1)
        kind = "i" if (like.whole if isinstance(like, View) else like.array.dtype.kind in "iub") else "f"
    else:
        kind = {9: "b", **dict.fromkeys((1, 10, 11, 16), "f")}.get(call.whole("to", 1), "i")
    if kind == "f":
        return replace(view, whole=False)
    if kind == "b":
        different = join(call.net, fn.Compare("equal"), (view, constant(0.0)), True)
        return shifted(call.net, scaled(call.net, different, -1.0), 1.0)
    return view if view.whole else replace(mapped(call.net, view, fn.Apply("trunc")), whole=True)


def reciprocal(net: Net, view: View) -> View:
    """1 / x."""
    return join(net, arithmetic.Div(), (constant(1.0), view), False)


def _tan(net: Net, x: View) -> View:
    return join(net, arithmetic.Div(), (mapped(net, x, fn.Apply("sin")), mapped(net, x, fn.Apply("cos"))))


def _asin(net: Net, x: View) -> View:
    """atan(x / sqrt(1 - x^2))."""
    rest = mapped(net, join(net, arithmetic.Mul(), (x, x)), arithmetic.Scale(-1.0), arithmetic.Shift(1.0), act.Sqrt())
    return mapped(net, join(net, arithmetic.Div(), (x, rest)), fn.Apply("atan"))


def _acos(net: Net, x: View) -> View:
    """pi / 2 - asin(x)."""
    return mapped(net, _asin(net, x), arithmetic.Scale(-1.0), arithmetic.Shift(pi / 2))


def _exponentials(sign: float) -> Callable[[Net, View], View]:
    """(exp(x) + sign * exp(-x)) / 2."""

    def read(net: Net, x: View) -> View:
        up, down = mapped(net, x, act.Exp()), mapped(net, x, arithmetic.Scale(-1.0), act.Exp())
        op = arithmetic.Add() if sign > 0 else arithmetic.Sub()
        return mapped(net, join(net, op, (up, down)), arithmetic.Scale(0.5))

    return read


def _logarithm(under: float) -> Callable[[Net, View], View]:
    """sign(x) log(|x| + sqrt(x^2 + under))."""

    def read(net: Net, x: View) -> View:
        size = mapped(net, x, act.Abs()) if under > 0 else x
        root = mapped(net, join(net, arithmetic.Mul(), (x, x)), arithmetic.Shift(under), act.Sqrt())
        found = mapped(net, join(net, arithmetic.Add(), (size, root)), act.Log())
        return join(net, arithmetic.Mul(), (mapped(net, x, fn.Apply("sign")), found)) if under > 0 else found

    return read


def _atanh(net: Net, x: View) -> View:
    """log((1 + x) / (1 - x)) / 2."""
    above = mapped(net, x, arithmetic.Shift(1.0))
    below = mapped(net, x, arithmetic.Scale(-1.0), arithmetic.Shift(1.0))
    return mapped(net, join(net, arithmetic.Div(), (above, below)), act.Log(), arithmetic.Scale(0.5))


def composed(build: Callable[[Net, View], View]) -> Callable[[Call], View]:
    """A reader of a function that others make up."""
    return lambda call: build(call.net, call.view(0))


TRIGONOMETRIC: dict[str, Callable[[Call], View]] = {
    "Tan": composed(_tan),
    "Asin": composed(_asin),
    "Acos": composed(_acos),
    "Sinh": composed(_exponentials(-1)),
    "Cosh": composed(_exponentials(1)),
    "Asinh": composed(_logarithm(1.0)),
    "Acosh": composed(_logarithm(-1.0)),
    "Atanh": composed(_atanh),
}


def short(number: float) -> float:
    """A float32 attribute by its shortest decimal."""
    return float(str(np.float32(number)))


READERS: dict[str, Callable[[Call], View]] = {
    "Relu": function(act.Relu()),
    "Sigmoid": function(act.Sigmoid()),
    "Tanh": function(act.Tanh()),
    "Softplus": function(act.Softplus()),
    "HardSwish": function(act.HardSwish()),
    "Abs": function(act.Abs()),
    "Exp": function(act.Exp()),
    "Log": function(act.Log()),
    "Sqrt": function(act.Sqrt()),
    "Neg": function(arithmetic.Scale(-1.0)),
    **{name.capitalize(): applied(name) for name in ("sin", "cos", "atan", "erf", "floor", "ceil", "round", "sign")},
    "Reciprocal": lambda call: reciprocal(call.net, call.view(0)),
    **TRIGONOMETRIC,
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
    "Add": add,
    "Sub": sub,
    "Mul": mul,
    "Div": div,
    "Pow": power,
    "Sum": chained(arithmetic.Add()),
    "Max": chained(arithmetic.Maximum()),
    "Min": chained(arithmetic.Minimum()),
    "Mean": mean,
    "Less": compared("less"),
    "LessOrEqual": compared("atmost"),
    "Greater": compared("greater"),
    "GreaterOrEqual": compared("atleast"),
    "Equal": compared("equal"),
    "And": logic(arithmetic.Mul()),
    "Or": logic(arithmetic.Maximum()),
    "Xor": logic(fn.Compare("unequal")),
    "Not": negation,
    "Where": where,
    "Cast": cast,
    "CastLike": cast,
}
