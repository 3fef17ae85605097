"""Activations, arithmetic, comparisons: functions of elements at equal places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from netdsl.onnx.read.align import join
from netdsl.onnx.read.call import Call, Operand, as_view
from netdsl.onnx.read.choice import Within, are_places, both_bounds, bounded, where_within
from netdsl.onnx.read.functions import applied, constant, function, mapped, reciprocal, scalar, scaled, shifted
from netdsl.onnx.read.net import Net
from netdsl.onnx.read.values import Known, Unreadable, View
from netdsl.ops import activation as act
from netdsl.ops import elementwise as arithmetic
from netdsl.ops import function as fn
from netdsl.ops.base import Op


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


def compared(how: str, swapped: bool = False) -> Callable[[Call], View]:
    """A reader of a comparison: 1 where it holds, else 0."""

    def read(call: Call) -> View:
        a, b = call.operand(0), call.operand(1)
        if are_places(a):
            return bounded(call.op, a, b)
        return join(call.net, fn.Compare(how), (b, a) if swapped else (a, b), True)

    return read


def logic(op: Op) -> Callable[[Call], View]:
    """A reader of a function of truth values, which are 0 and 1."""

    def read(call: Call) -> View:
        a, b = call.operand(0), call.operand(1)
        return both_bounds(a, b) if isinstance(a, Within) else join(call.net, op, (a, b), True)

    return read


def negation(call: Call) -> View:
    """1 - x."""
    return shifted(call.net, scaled(call.net, call.view(0), -1.0), 1.0)


def where(call: Call) -> View:
    """The second operand where the first holds, else the third."""
    operands = [call.operand(index) for index in range(3)]
    if isinstance(operands[0], Within):
        return where_within(call, operands[0])
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


READERS: dict[str, Callable[[Call], View]] = {
    "Abs": function(act.Abs()),
    "Exp": function(act.Exp()),
    "Log": function(act.Log()),
    "Sqrt": function(act.Sqrt()),
    "Neg": function(arithmetic.Scale(-1.0)),
    **{name.capitalize(): applied(name) for name in ("sin", "cos", "atan", "erf", "floor", "ceil", "round", "sign")},
    "Reciprocal": lambda call: reciprocal(call.net, call.view(0)),
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
