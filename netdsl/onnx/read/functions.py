"""Small functions of elements that readers are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from netdsl.onnx.read.align import join
from netdsl.onnx.read.call import Call, Operand, unary
from netdsl.onnx.read.net import Net
from netdsl.onnx.read.values import Array, Known, View
from netdsl.ops import elementwise as arithmetic
from netdsl.ops import function as fn
from netdsl.ops.base import Op


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


def constant(number: float) -> Known:
    """A number as a weight of one element, the same wherever it is used."""
    return Known(np.array([number], np.float32), None, f"constant_{number:.7g}".replace("-", "minus_"))


def short(number: float) -> float:
    """A float32 attribute by its shortest decimal."""
    return float(str(np.float32(number)))


def reciprocal(net: Net, view: View) -> View:
    """1 / x."""
    return join(net, arithmetic.Div(), (constant(1.0), view), False)
