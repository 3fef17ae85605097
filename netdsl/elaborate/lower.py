"""From what a step says to an operator: which value goes to which field, and the checks on the way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from netdsl import codes
from netdsl.elaborate import spellings
from netdsl.elaborate.mistakes import Mistake
from netdsl.elaborate.values import BlockRef, Datum, Poison, WordRef, kind, text
from netdsl.ir.graph import Value
from netdsl.ops.base import Attr, AttrKind, Op
from netdsl.source import Span
from netdsl.suggest import nearest
from netdsl.syntax import ast

_CAPITAL = re.compile(r"[KSDPG][0-9]+(x[0-9]+)*\Z")

Evaluate = Callable[[ast.Expr], Datum]


@dataclass(frozen=True, slots=True)
class Given:
    """One field of an operator and the expression that a step gives for it, None for a bare flag.

    by_flag     the value says whether the flag is there (`nobias=wide`), not what the field is (`bias=wide`).
    """

    attr: Attr
    value: ast.Expr | None
    span: Span
    by_flag: bool = False


class Poisoned(Exception):
    """A value of a step failed before and was reported then."""


def assign(op: type[Op], values: Iterable[ast.Expr], settings: Iterable[ast.Setting], place: Span) -> tuple[Given, ...]:
    """Which field each value and setting of a step is for. Depends on the text alone, so once for every step."""
    schema = [item for item in op.schema() if not item.implied]
    positional = iter([item for item in schema if item.positional])
    flags = {item.flag: item for item in schema if item.flag}
    by_name = {name: item for item in schema for name in (item.name, item.short) if name}
    given: dict[str, Given] = {}

    def take(attr: Attr, value: ast.Expr | None, span: Span, by_flag: bool = False) -> None:
        if attr.name in given:
            raise Mistake(codes.BAD_ARGUMENT, f"`{op.word}` is given `{attr.spelling}` twice", span)
        given[attr.name] = Given(attr, value, span, by_flag)

    for item in sorted([*values, *settings], key=lambda node: node.span.start):
        bare = _bare_word(item)
        if isinstance(item, ast.Setting) and item.value is not None:
            attr = by_name.get(item.name) or flags.get(item.name)
            if attr is None:
                raise _unknown_setting(op, item.name, item.name_span, [*by_name, *flags], bare=False)
            if isinstance(item.value, ast.Name) and item.value.name in flags and attr.kind is not AttrKind.FLAG:
                raise _flag_as_value(op, item.value)
            take(attr, item.value, item.span, item.name in flags)
        elif bare in flags:
            take(flags[bare], None, item.span)
        else:
            attr = next(positional, None)
            if attr is None:
                raise _unexpected(op, item, bare, [*by_name, *flags], values if "kernel" not in given else ())
            take(attr, ast.Name(bare, item.span) if bare is not None else _expression(item), item.span)
    for attr in schema:
        if attr.required and attr.name not in given:
            raise _missing(op, attr, place)
    return tuple(given.values())


def _bare_word(item: ast.Expr | ast.Setting) -> str | None:
    if isinstance(item, ast.Name):
        return item.name
    return item.name if isinstance(item, ast.Setting) else None


def _expression(item: ast.Expr | ast.Setting) -> ast.Expr:
    assert not isinstance(item, ast.Setting)
    return item


def _flag_as_value(op: type[Op], value: ast.Name) -> Mistake:
    return Mistake(
        codes.BAD_ARGUMENT,
        f"`{value.name}` is a flag of `{op.word}`, not a value",
        value.span,
        help=f"write `{value.name}` alone",
    )


def _unknown_setting(op: type[Op], name: str, span: Span, known: list[str], bare: bool) -> Mistake:
    if name in known:
        glued = len(name) == 1
        return Mistake(
            codes.BAD_ARGUMENT,
            f"`{name}` of `{op.word}` stands without its value",
            span,
            help=f"write the two as one: `{name}3`" if glued else f"give it a value: `{name}=...`",
        )
    if _CAPITAL.match(name):
        return Mistake(
            codes.UNKNOWN_ATTRIBUTE, f"`{op.word}` has no attribute `{name}`", span, help=f"write `{name.lower()}`"
        )
    near = nearest(name, known)
    help = f"did you mean `{near}`?" if near else _attributes_line(op)
    layer = spellings.as_layer(name)
    if not near and layer and bare:
        help = f"a layer is a step of its own: `-> {layer}`"
    return Mistake(codes.UNKNOWN_ATTRIBUTE, f"`{op.word}` has no attribute `{name}`", span, help=help)


def _attributes_line(op: type[Op]) -> str:
    names = [f"`{item.spelling}`" for item in op.schema() if not item.implied and not item.positional]
    return f"`{op.word}` takes {', '.join(names)}" if names else f"`{op.word}` takes no attributes"


def _unexpected(
    op: type[Op], item: ast.Expr | ast.Setting, bare: str | None, known: list[str], values: Iterable[ast.Expr]
) -> Mistake:
    if bare is not None:
        return _unknown_setting(op, bare, item.span, known, bare=True)
    count = sum(attr.positional for attr in op.schema())
    takes = "no values" if count == 0 else "one value" if count == 1 else f"{count} values"
    kernel = spellings.kernel(op, values)
    named = [attr.spelling for attr in op.schema() if not attr.implied and not attr.positional and not attr.flag]
    number = spellings.by_number(op, item.span.text) if isinstance(item, ast.Number) else None
    only = f"{named[0]}={item.span.text}" if len(named) == 1 else None
    return Mistake(
        codes.BAD_ARGUMENT,
        f"`{op.word}` takes {takes} without a name; {item.span.text} is one more",
        item.span,
        help=f"the kernel is written `{kernel}`"
        if kernel
        else f"it has a name: `{only}`"
        if only
        else f"`{op.word}` joins tensors; with a number it is `{number}`"
        if number
        else _attributes_line(op),
    )


def _missing(op: type[Op], attr: Attr, place: Span) -> Mistake:
    if attr.short:
        example = f"write it as `{attr.short}3`" if attr.kind is AttrKind.AXES else f"write it as `{attr.short}2`"
    elif attr.positional:
        example = f"write it after the word: `{op.word} {attr.choices[0] if attr.choices else 64}`"
    else:
        example = f"write it as `{attr.name}=...`"
    choices = f" ({', '.join(attr.choices)})" if attr.choices else ""
    return Mistake(codes.MISSING_ARGUMENT, f"`{op.word}` needs its {attr.doc}{choices}", place, help=example)


def field_values(word: str, given: tuple[Given, ...], evaluate: Evaluate) -> tuple[tuple[str, Any], ...]:
    """The fields of an operator with their values, hashable. Raises Poisoned where one failed before."""
    return tuple([(item.attr.name, _field_value(word, item, evaluate)) for item in given])


def is_literal(given: Given) -> bool:
    """Whether the value stands in the text as it is, so that it is the same in every expansion."""
    value = given.value
    if isinstance(value, ast.ShapeExpr):
        return all(isinstance(extent, ast.Number) for extent in value.extents)
    return value is None or isinstance(value, ast.Number | ast.Boolean | ast.String)


def _field_value(word: str, given: Given, evaluate: Evaluate) -> Any:
    attr, value = given.attr, given.value
    if attr.kind is AttrKind.FLAG:
        if value is None:
            return not attr.default
        flag = _settled(evaluate(value))
        if not isinstance(flag, bool):
            raise _wrong_kind(word, attr, flag, given.span, "true or false")
        return flag != attr.default if given.by_flag else flag
    assert value is not None
    if attr.kind is AttrKind.WORD:
        return _word(word, attr, value, evaluate)
    return _convert(word, attr, _settled(evaluate(value)), given.span)


def _settled(value: Datum) -> Datum:
    if isinstance(value, Poison):
        raise Poisoned
    return value


def _word(word: str, attr: Attr, value: ast.Expr, evaluate: Evaluate) -> str:
    if isinstance(value, ast.Name) and value.name in attr.choices:
        return value.name
    try:
        found = _settled(evaluate(value))
    except Mistake:
        found = None
    chosen = found.word if isinstance(found, WordRef) else found
    if isinstance(chosen, str) and chosen in attr.choices:
        return chosen
    near = nearest(value.span.text, attr.choices)
    raise Mistake(
        codes.BAD_ARGUMENT,
        f"`{word}` knows no {value.span.text}: its {attr.doc} is one of {', '.join(attr.choices)}",
        value.span,
        help=f"did you mean `{near}`?" if near else None,
    )


def _convert(word: str, attr: Attr, value: Datum, span: Span) -> Any:
    match attr.kind:
        case AttrKind.INT:
            if _is_whole(value):
                return value
            raise _wrong_kind(word, attr, value, span, "a whole number")
        case AttrKind.FLOAT:
            if isinstance(value, int | float) and not isinstance(value, bool):
                try:
                    return float(value)
                except OverflowError:
                    pass
            raise _wrong_kind(word, attr, value, span, "a number")
        case AttrKind.EXTENTS if isinstance(value, Value) and value.type.rank > 1:
            return value.type.shape[1:]
        case _:
            extents = (value,) if _is_whole(value) else value
            if isinstance(extents, tuple | list) and extents and all(_is_whole(item) for item in extents):
                return tuple(extents)
            if extents == [] and attr.kind is AttrKind.INTS:
                return ()
            raise _wrong_kind(word, attr, value, span, "a whole number for every axis, or one for each")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong_kind(word: str, attr: Attr, value: Datum, span: Span, expected: str) -> Mistake:
    help = None
    if isinstance(value, float) and value.is_integer() and attr.kind is not AttrKind.FLOAT:
        help = f"write `{int(value)}`"
    elif isinstance(value, float) and "/" in span.text:
        help = "`//` divides and rounds down"
    elif isinstance(value, BlockRef):
        help = f"`{text(value)}` is a block; a layer's own values come first"
    found = text(value) if isinstance(value, float) else kind(value)
    return Mistake(
        codes.BAD_ARGUMENT,
        f"`{word}` expects {expected} as its {attr.doc}, but this is {found}",
        span,
        help=help,
    )
