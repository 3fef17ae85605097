"""Arithmetic and the built-in functions of the language, on plain values. All of it is bounded before it is done."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from netdsl.elaborate.values import Datum, Family, kind
from netdsl.limits import Limits


class BadValue(Exception):
    """An operation refuses its values; the sentence says why."""


class TooLarge(Exception):
    """A number or a list would pass a stated limit; `limit` is its name in `Limits`."""

    def __init__(self, what: str, limit: str) -> None:
        super().__init__(what)
        self.limit = limit


def number(value: Datum, what: str) -> int | float:
    """A number that is not a boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValue(f"{what} needs a number, but this is {kind(value)}")
    return value


def whole(value: Datum, what: str) -> int:
    """A whole number that is not a boolean."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValue(f"{what} needs a whole number, but this is {kind(value)}")
    return value


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}


def binary(symbol: str, left: Datum, right: Datum, limits: Limits) -> Datum:
    """`left symbol right` for everything but `and` and `or`. Raises BadValue, TooLarge."""
    if symbol in ("==", "!="):
        return (left == right) == (symbol == "==")
    if symbol in _COMPARE:
        return _COMPARE[symbol](number(left, f"`{symbol}`"), number(right, f"`{symbol}`"))
    if symbol == "+" and isinstance(left, list) and isinstance(right, list):
        return bounded_list(left + right, len(left) + len(right), limits)
    if symbol == "*" and isinstance(left, list):
        count = max(whole(right, "repeating a list"), 0)
        check_length(len(left) * count, limits)
        return left * count
    a, b = number(left, f"`{symbol}`"), number(right, f"`{symbol}`")
    _check_size(symbol, a, b, limits)
    try:
        result: int | float = _ARITHMETIC[symbol](a, b)
    except ZeroDivisionError:
        raise BadValue("division by zero") from None
    except OverflowError:
        raise BadValue("the result is too large for a number with a fraction") from None
    return _finite(result)


def _finite(value: int | float) -> int | float:
    if isinstance(value, complex) or (isinstance(value, float) and not math.isfinite(value)):
        raise BadValue("the result is not a finite number")
    return value


def _check_size(symbol: str, a: int | float, b: int | float, limits: Limits) -> None:
    if not (isinstance(a, int) and isinstance(b, int)):
        return
    bits = max(a.bit_length(), b.bit_length()) + 1
    if symbol == "*":
        bits = a.bit_length() + b.bit_length()
    elif symbol == "**":
        bits = a.bit_length() * abs(b) if abs(a) > 1 else 1
    if bits > limits.integer_bits:
        raise TooLarge(f"a whole number of more than {limits.integer_bits} bits", "integer_bits")


def check_length(length: int, limits: Limits) -> None:
    """Refuse a list that would be too long."""
    if length > limits.list_length:
        raise TooLarge(f"a list of {length:,} items", "list_length")


def bounded_list(items: list[Datum], length: int, limits: Limits) -> list[Datum]:
    """`items`, after a check of how many there will be."""
    check_length(length, limits)
    return items


def items(value: Datum, what: str) -> list[Datum]:
    """The items of a list, the extents of a shape or the tensors of a family."""
    if isinstance(value, Family):
        return list(value)
    if isinstance(value, list):
        return value
    if isinstance(value, tuple):
        return list(value)
    raise BadValue(f"{what} needs a list, but this is {kind(value)}")


def _zip(arguments: list[Datum], limits: Limits) -> Datum:
    columns = [items(argument, "`zip`") for argument in arguments]
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise BadValue(f"the lists of this `zip` have different lengths: {', '.join(map(str, lengths))}")
    return [list(row) for row in zip(*columns, strict=True)]


def _range(arguments: list[Datum], limits: Limits) -> Datum:
    numbers = [whole(argument, "`range`") for argument in arguments]
    if len(numbers) == 3 and numbers[2] == 0:
        raise BadValue("the step of a `range` is not 0")
    span = range(*numbers)
    # len() of a huge range overflows; its ends say the same.
    count = max((span.stop - span.start + span.step - (1 if span.step > 0 else -1)) // span.step, 0)
    check_length(count, limits)
    return list(span)


def _len(arguments: list[Datum], limits: Limits) -> Datum:
    return len(items(arguments[0], "`len`"))


def _enumerate(arguments: list[Datum], limits: Limits) -> Datum:
    return [[index, item] for index, item in enumerate(items(arguments[0], "`enumerate`"))]


def _reversed(arguments: list[Datum], limits: Limits) -> Datum:
    return items(arguments[0], "`reversed`")[::-1]


def _round(arguments: list[Datum], limits: Limits) -> Datum:
    value = number(arguments[0], "`round`")
    if len(arguments) == 1:
        return math.floor(value + 0.5)
    # MobileNet's rule (its authors' `make_divisible`): the nearest multiple, but at least one and never more than a
    # tenth below the value.
    multiple = whole(arguments[1], "`round`")
    if multiple < 1:
        raise BadValue("`round` needs a multiple of at least 1")
    result = max(multiple, int(value + multiple / 2) // multiple * multiple)
    return result + multiple if result < 0.9 * value else result


def _ceil(arguments: list[Datum], limits: Limits) -> Datum:
    return math.ceil(number(arguments[0], "`ceil`"))


def _floor(arguments: list[Datum], limits: Limits) -> Datum:
    return math.floor(number(arguments[0], "`floor`"))


def _extreme(name: str, choose: Callable[[list[int | float]], int | float]) -> Function:
    def function(arguments: list[Datum], limits: Limits) -> Datum:
        values = items(arguments[0], f"`{name}`") if len(arguments) == 1 else arguments
        if not values:
            raise BadValue(f"`{name}` of an empty list")
        return choose([number(value, f"`{name}`") for value in values])

    return function


def _sum(arguments: list[Datum], limits: Limits) -> Datum:
    total: Datum = 0
    for item in items(arguments[0], "`sum`"):
        total = binary("+", total, item, limits)
    return total


Function = Callable[[list[Datum], Limits], Datum]

FUNCTIONS: dict[str, tuple[int, int, Function]] = {
    "zip": (1, 64, _zip),
    "range": (1, 3, _range),
    "len": (1, 1, _len),
    "enumerate": (1, 1, _enumerate),
    "reversed": (1, 1, _reversed),
    "round": (1, 2, _round),
    "ceil": (1, 1, _ceil),
    "floor": (1, 1, _floor),
    "min": (1, 64, _extreme("min", min)),
    "max": (1, 64, _extreme("max", max)),
    "sum": (1, 1, _sum),
}
"""The built-in functions, by name: least and most arguments, and what each does."""
