"""The operator reference, made from the operators themselves: their fields, docstrings and word."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from inspect import cleandoc
from itertools import groupby

from netdsl.ops.base import Attr, AttrKind, Op

CONVENTION = """\
Costs are per sample. A multiply-accumulate of a convolution or matrix product is two FLOPs; every other arithmetic
operation, comparison and elementary function (exp, log, sqrt, erf, tanh) is one; moving elements is free.
"""


def index(ops: Iterable[type[Op]]) -> str:
    """A line for each operator, in the order of their words."""
    by_word = {op.word: op for op in ops}
    width = max(map(len, by_word), default=0)
    return "".join(f"{word.ljust(width)}  {summary(by_word[word])}\n" for word in sorted(by_word))


def summary(op: type[Op]) -> str:
    """The first sentence of the operator's docstring, in one line."""
    paragraph = cleandoc(op.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=\.)\s+(?=[A-Z`])", paragraph)[0].removesuffix(".").removesuffix(":")


def page(op: type[Op]) -> str:
    """How an operator is written, what it means, its attributes, operands, results and weights."""
    return f"# {op.word}\n\n{_body(op)}"


def document(ops: Iterable[type[Op]]) -> str:
    """All pages as one Markdown document, by family."""
    parts = ["# Operators\n", "The pages of `netdsl ops NAME`, by family.\n", CONVENTION]
    for family, members in groupby(ops, key=lambda op: op.__module__):
        title = cleandoc(sys.modules[family].__doc__ or "").partition("\n\n")[0].replace("\n", " ")
        parts.append(f"## {title.removesuffix('.')}\n")
        parts += [f"### {op.word}\n\n{_body(op)}" for op in members]
    return "\n".join(parts)


def usage(op: type[Op]) -> str:
    """How an operator is written: `conv OUT kK [sS] [pP] [dD] [gG] [same] [nobias]`."""
    parts = [spelling(item) if item.required else f"[{spelling(item)}]" for item in _written(op)]
    return " ".join([op.word, *parts])


def spelling(item: Attr) -> str:
    """An attribute as it is written, with capitals for what a value replaces: `kK`, `OUT`, `axis=AXIS`, `same`."""
    if item.flag:
        return item.flag
    value = "|".join(item.choices) if item.choices else item.name.upper()
    if item.positional:
        return value
    return f"{item.short}{item.short.upper()}" if item.short else f"{item.name}={value}"


def _written(op: type[Op]) -> list[Attr]:
    return sorted([item for item in op.schema() if not item.implied], key=lambda item: not item.positional)


def _body(op: type[Op]) -> str:
    lines = [f"    {usage(op)}", "", cleandoc(op.__doc__ or ""), ""]
    if attributes := _written(op):
        width = max(len(spelling(item)) for item in attributes)
        lines += [f"    {spelling(item).ljust(width)}  {item.doc}{_default(item)}" for item in attributes] + [""]
    if op.operands != (1, 1):
        lines += [f"Operands: {_operands(op)}.", ""]
    lines += [f"Result: {_sentence(op.infer.__doc__)}", ""]
    if op.weights is not Op.weights:
        lines += [f"Weights: {_sentence(op.weights.__doc__)}", ""]
    return "\n".join(lines)


def _operands(op: type[Op]) -> str:
    least, most = op.operands
    count = f"{least}" if least == most else f"{least} or more" if most is None else f"{least} or {most}"
    place = ("first", "second")[op.implicit]
    return f"{count}; with one left out in parentheses, `it` is the {place}"


def _sentence(docstring: str | None) -> str:
    text = cleandoc(docstring or "").partition("\n\n")[0].replace("\n", " ")
    return text[:1].lower() + text[1:]


def _default(item: Attr) -> str:
    if item.required or item.kind is AttrKind.FLAG or item.default in ((), None):
        return ""
    value = "x".join(map(str, item.default)) if isinstance(item.default, tuple) else item.default
    return f" ({value} unless given)"
