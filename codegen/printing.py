"""Statements as text, broken into lines as `ruff format` breaks them, so that a formatter changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from netdsl.codegen.render import literal

WIDTH = 120


@dataclass(frozen=True)
class Bracket:
    """`before(item, item)`: a call or a definition, or a tuple, which has one item a line where it must be broken."""

    before: str
    items: tuple[Expression, ...]
    is_tuple: bool = False

    def __str__(self) -> str:
        comma = "," if self.is_tuple and len(self.items) == 1 else ""
        return f"{self.before}({', '.join(map(str, self.items))}{comma})"


Expression = str | Bracket


def keywords(spec: object) -> tuple[str, ...]:
    """The fields of a frozen dataclass as keyword arguments."""
    if spec is None:
        return ()
    return tuple(f"{item.name}={literal(getattr(spec, item.name))}" for item in fields(spec))  # type: ignore[arg-type]


def lines(expression: Expression, indent: int, after: str = "") -> list[str]:
    """The lines of an expression at an indentation: on one line if it fits, else broken at its outermost bracket.

    A call's arguments stay together on a line of their own if they fit there; a tuple has one item a line.
    """
    space = " " * indent
    whole = f"{space}{expression}{after}"
    if isinstance(expression, str) or not expression.items or len(whole) <= WIDTH:
        return [whole]
    body = f"{space}    {', '.join(map(str, expression.items))}"
    inner = [body]
    if expression.is_tuple or len(body) > WIDTH:
        inner = [line for item in expression.items for line in lines(item, indent + 4, ",")]
    return [f"{space}{expression.before}(", *inner, f"{space}){after}"]


def entry(key: str, items: Sequence[Expression]) -> str:
    """A line `"key": (items),` of a dictionary at the top of a module."""
    return "\n".join(lines(Bracket(f"{literal(key)}: ", tuple(items), is_tuple=True), 4, ","))


def dictionary(name: str, items: Sequence[str]) -> str:
    """`name = {items}`, one a line where they do not fit."""
    whole = f"{name} = {{{', '.join(items)}}}"
    return whole if len(whole) <= WIDTH else "\n".join([f"{name} = {{", *(f"    {item}," for item in items), "}"])


def definition(name: str, parameters: Sequence[str], indent: int = 0) -> str:
    """The head of a function."""
    return "\n".join(lines(Bracket(f"def {name}", tuple(parameters)), indent, ":"))


def statement(target: str, function: str, arguments: Sequence[Expression], indent: int = 4) -> str:
    """`target = function(arguments)`, or the call alone where there is no target, indented but for its first line."""
    before = f"{target} = {function}" if target else function
    if not target or indent + len(before) < WIDTH:
        return "\n".join(lines(Bracket(before, tuple(arguments)), indent)).strip()
    inner = lines(Bracket(function, tuple(arguments)), indent + 4)
    return "\n".join([f"{target} = (", *inner, f"{' ' * indent})"])


def copy(target: str, source: str, indent: int = 4) -> str:
    """`target = source`, where the source may be broken at a last subscript."""
    whole = f"{target} = {source}"
    if indent + len(whole) <= WIDTH or not source.endswith("]"):
        return whole
    before, _, key = source[:-1].partition("[")
    space = " " * indent
    return f"{target} = {before}[\n{space}    {key}\n{space}]"
