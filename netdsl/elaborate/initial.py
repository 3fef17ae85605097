"""How a `param` starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netdsl import codes
from netdsl.elaborate.mistakes import Mistake
from netdsl.elaborate.values import Datum, Poison, kind
from netdsl.ops.base import Init
from netdsl.source import Span
from netdsl.syntax import ast
from netdsl.tensor import shape_text


def initial(expression: ast.Expr, shape: tuple[int, ...], evaluate: Callable[[ast.Expr], Datum]) -> Init:
    """A number, `normal(deviation)`, `uniform(bound)`, or all numbers in lists that are nested as the shape."""
    if isinstance(expression, ast.Call) and expression.name in ("normal", "uniform"):
        if len(expression.arguments) == 1 and expression.arguments[0].name is None:
            return Init(expression.name, _real(evaluate(expression.arguments[0].value), expression.span))
        raise Mistake(codes.BAD_ARGUMENT, f"`{expression.name}` takes one number", expression.span)
    value = evaluate(expression)
    if isinstance(value, list):
        return Init("list", numbers=tuple(_listed(value, shape, (), expression)))
    return Init("constant", _real(value, expression.span))


def _real(value: Datum, span: Span) -> float:
    if isinstance(value, Poison):
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        starts = "as a number, `normal(deviation)`, `uniform(bound)` or a list of its numbers"
        raise Mistake(codes.BAD_VALUE, f"a weight starts {starts}, but this is {kind(value)}", span)
    return float(value)


def _listed(value: Datum, shape: tuple[int, ...], place: tuple[int, ...], expression: ast.Expr) -> Iterator[float]:
    """The numbers of the part of nested lists that is at `place`; an axis of the shape for each level."""
    axis = len(place)
    if axis == len(shape):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _misfit("a number", kind(value), shape, place, expression)
        yield float(value)
        return
    wanted = f"a list of {shape[axis]}"
    if not isinstance(value, list):
        raise _misfit(wanted, kind(value), shape, place, expression)
    if len(value) != shape[axis]:
        raise _misfit(wanted, f"one of {len(value)}", shape, place, expression)
    for index, item in enumerate(value):
        yield from _listed(item, shape, (*place, index), expression)


def _misfit(wanted: str, found: str, shape: tuple[int, ...], place: tuple[int, ...], expression: ast.Expr) -> Mistake:
    """Lists that are not nested as the shape; the label is under the item, where the text has it."""
    for index in place:
        if not isinstance(expression, ast.ListExpr):
            break
        expression = expression.items[index]
    where = f"item [{', '.join(map(str, place))}]" if place else "its value"
    message = f"this weight is {shape_text(shape)}, so {where} is {wanted}, but here it is {found}"
    help = "lists are nested as the shape, a number for each element: `param name: 2x3 = [[1, 2, 3], [4, 5, 6]]`"
    return Mistake(codes.BAD_VALUE, message, expression.span, help=help)
