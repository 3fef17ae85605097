"""The one jinja2 environment. Decide in Python, print in jinja2: templates hold no arithmetic and no shape logic."""

from __future__ import annotations

from functools import cache
from math import isfinite

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from netdsl.codegen.names import comment

SHARED = ("check_weights", "files", "read_png")
"""Templates of `codegen/templates`: parts of the modules of every backend."""


def literal(value: object) -> str:
    """A Python literal, by repr: numbers, strings (in double quotes where that needs no escape), None and tuples."""
    if isinstance(value, tuple):
        items = ", ".join(map(literal, value))
        return f"({items},)" if len(value) == 1 else f"({items})"
    if isinstance(value, str):
        return repr(value) if '"' in value else f'"{repr(chr(39) + value)[2:]}'
    if isinstance(value, float) and not isfinite(value):
        return f'float("{value}")'
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    raise TypeError(f"{type(value).__name__} has no literal form")


@cache
def environment(package: str) -> Environment:
    """A backend's templates, `<package>/templates`, and those of SHARED. Filters: `py` (literal), `comment`."""
    env = Environment(
        loader=ChoiceLoader([PackageLoader(package, "templates"), PackageLoader("netdsl.codegen", "templates")]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    env.filters["py"] = literal
    env.filters["comment"] = comment
    return env
