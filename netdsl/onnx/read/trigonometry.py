"""Trigonometric and hyperbolic functions, made of those that the language has."""

from __future__ import annotations

from collections.abc import Callable
from math import pi

from netdsl.onnx.read.align import join
from netdsl.onnx.read.call import Call
from netdsl.onnx.read.functions import mapped
from netdsl.onnx.read.net import Net
from netdsl.onnx.read.values import View
from netdsl.ops import activation as act
from netdsl.ops import elementwise as arithmetic
from netdsl.ops import function as fn


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


READERS: dict[str, Callable[[Call], View]] = {
    "Tan": composed(_tan),
    "Asin": composed(_asin),
    "Acos": composed(_acos),
    "Sinh": composed(_exponentials(-1)),
    "Cosh": composed(_exponentials(1)),
    "Asinh": composed(_logarithm(1.0)),
    "Acosh": composed(_logarithm(-1.0)),
    "Atanh": composed(_atanh),
}
