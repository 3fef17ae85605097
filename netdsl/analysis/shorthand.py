"""An operator as a `.net` text would write it: `conv 64 k7 s2 p3 nobias`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from netdsl.ops.base import Attr, AttrKind, Op, Types
from netdsl.ops.pool import Pool

GLUED = "ksdpg"
"""The letters that are written glued to their numbers."""


def shorthand(op: Op, inputs: Types = ()) -> str:
    """The word, the positional values, then what differs from its default, each as short as the language has it.

    A pool over all of a feature map (`inputs`) is called global.
    """
    if isinstance(op, Pool) and inputs and op.kernel == inputs[0].shape[1:] and not any(op.padding):
        op = replace(op, whole=True, kernel=(), stride=())
    elif isinstance(op, Pool) and op.stride == op.kernel:
        op = replace(op, stride=())
    return " ".join([op.word, *_attributes(op)])


def attributes(op: Op) -> dict[str, Any]:
    """All attributes by name, as plain numbers, strings, booleans and lists."""
    return {item.name: _plain(getattr(op, item.name)) for item in op.schema()}


def _attributes(op: Op) -> Iterator[str]:
    for item in sorted(op.schema(), key=lambda item: not item.positional):
        value = getattr(op, item.name)
        if item.implied or (not item.required and _short(value) == _short(item.default)):
            continue
        yield _spelled(item, value)


def _spelled(item: Attr, value: Any) -> str:
    if item.kind is AttrKind.FLAG:
        return item.flag or item.name
    if item.kind is AttrKind.INTS:
        return f"{item.name}=[{', '.join(map(str, value))}]"
    text = _text(value)
    if item.positional:
        return text
    return f"{item.short}{text}" if item.short and item.short in GLUED else f"{item.short or item.name}={text}"


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "x".join(str(number) for number in _short(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _short(value: Any) -> Any:
    """One number for equal axes, one for each axis where padding is the same at both ends."""
    if not isinstance(value, tuple) or not value:
        return value
    if len(set(value)) == 1:
        return value[:1]
    half = len(value) // 2
    return value[:half] if len(value) % 2 == 0 and value[:half] == value[half:] else value


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, int | float | str | bool) or value is None else str(value)
