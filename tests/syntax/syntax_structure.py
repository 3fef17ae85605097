"""What a tree says, without its places: nested tuples to compare."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from netdsl.diagnostics import Report
from netdsl.render import full
from netdsl.source import Source, Span
from netdsl.syntax import ast
from netdsl.syntax.format import format
from netdsl.syntax.parse import parse


def structure(node: object) -> object:
    """Spans and comments left out; the chains of a body as one, since a new line chains as an arrow does."""
    if isinstance(node, ast.Body):
        statements: list[object] = []
        for statement in node.statements:
            if isinstance(statement, ast.Chain):
                statements += map(structure, statement.links)
            else:
                statements.append(structure(statement))
        return ("Body", *statements)
    if isinstance(node, tuple):
        return tuple(map(structure, node))
    if is_dataclass(node):
        left_out = ("span", "word_span", "name_span", "comments")
        parts = [structure(getattr(node, item.name)) for item in fields(node) if item.name not in left_out]
        return (type(node).__name__, *parts)
    return node


def parsed(text: str, name: str = "test.net") -> ast.File:
    report = Report()
    tree = parse(Source(name, text), report)
    assert tree is not None, full(report.diagnostics)
    assert not report.diagnostics
    return tree


def formatted(text: str) -> str:
    tree = parsed(text)
    return format(tree.span.source, tree)


def nodes(node: object) -> list[object]:
    """A node and all within it, the outer before the inner."""
    if isinstance(node, tuple):
        return [found for item in node for found in nodes(item)]
    if is_dataclass(node):
        return [node, *(found for item in fields(node) for found in nodes(getattr(node, item.name)))]
    return []


def span_of(node: object) -> Span:
    span = getattr(node, "span")  # noqa: B009
    assert isinstance(span, Span)
    return span
