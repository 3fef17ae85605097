"""An operator's attributes as a `.net` text may write them: every spelling that the language has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dice import Dice

from netdsl.ops.base import Attr, AttrKind, Op

Count = Callable[[str], None]


@dataclass(frozen=True)
class Expression:
    """A value that a text leaves to its parameters: `2*width`; `value` takes them and the operand's type."""

    text: str
    value: Callable[[Mapping[str, Any], Any], Any]

    def __str__(self) -> str:
        return self.text


def spelled(dice: Dice, op: type[Op], values: Mapping[str, Any], count: Count) -> str:
    """What stands after the operator's word, with a space before each item."""
    positional, settings = [], []
    by_position = True
    for attr in op.schema():
        if attr.name not in values:
            continue
        value = values[attr.name]
        if attr.positional and by_position and not _is_negative(value) and not dice.chance(10):
            count("value by position")
            positional.append(number(value))
        else:
            by_position = by_position and not attr.positional
            settings.append(setting(dice, attr, value, count))
    return "".join(f" {item}" for item in (*positional, *dice.order(settings)))


def setting(dice: Dice, attr: Attr, value: Any, count: Count) -> str:
    if attr.kind is AttrKind.FLAG:
        return flag(dice, attr, value, count)
    name = attr.short if attr.short and not dice.chance(20) else attr.name
    count("short name" if name == attr.short else "long name")
    if isinstance(value, Expression):
        count("expression as a value")
        return f"{name}={value}"
    if attr.kind is AttrKind.WORD:
        quoted = dice.chance(20)
        count("word as a string" if quoted else "word by name")
        return f'{name}="{value}"' if quoted else f"{name}={value}"
    if not isinstance(value, tuple):
        if attr.short == name and attr.kind is AttrKind.INT and dice.chance(70):
            count("glued")
            return f"{name}{value}"
        return f"{name}={number(value)}"
    whole = min(value) >= 0 and (attr.kind is AttrKind.AXES or min(value) > 0)
    extents = "x".join(map(str, value))
    if attr.short == name and whole and dice.chance(70):
        count("glued" if len(value) == 1 else "glued extents")
        return f"{name}{extents}"
    if whole and attr.kind is not AttrKind.INTS and dice.chance(60):
        count("extents by name")
        return f"{name}={extents}"
    if len(value) == 1 and dice.chance(50):
        return f"{name}={value[0]}"
    count("list as a value")
    return f"{name}=[{', '.join(map(str, value))}]"


def flag(dice: Dice, attr: Attr, value: Any, count: Count) -> str:
    assert attr.flag
    if isinstance(value, Expression):
        count("expression as a flag")
        return f"{attr.name}={value}"
    if not dice.chance(30):
        count("flag")
        return attr.flag
    if dice.chance(50):
        count("flag with a value")
        return f"{attr.flag}=true"
    count("field of a flag")
    return f"{attr.name}={str(value).lower()}"


def number(value: Any) -> str:
    """A number, a word or an expression, as a text has it."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _is_negative(value: Any) -> bool:
    return isinstance(value, int | float) and value < 0
