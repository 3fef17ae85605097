"""From text to tree. Every mistake is reported with its place; nothing but reports comes out of a wrong text."""

from __future__ import annotations

import re

from netdsl.diagnostics import Report
from netdsl.limits import DEFAULT_LIMITS, Limits
from netdsl.source import Source, Span
from netdsl.syntax import ast, tables
from netdsl.syntax.build import Builder
from netdsl.syntax.build_expressions import EnoughError
from netdsl.syntax.driver import DEEP, Driver, Failure
from netdsl.syntax.mistakes import explain
from netdsl.syntax.scan import scan
from netdsl.syntax.tables import END

STATES_PER_LEVEL = 20
"""Parser states that one level of nesting takes at most (a `for` in a branch takes eleven)."""

_BETWEEN = {"_NL", "items"}
"""What the parser holds between definitions."""
_DEFINITION = re.compile(r"^\s*(?:net|block|use)\b", re.MULTILINE)


def parse(source: Source, report: Report, limits: Limits = DEFAULT_LIMITS) -> ast.File | None:
    """The tree of a `.net` text, or None where it has mistakes, all of which are reported (E01xx, E09xx)."""
    tree, comments = _run("file", source, report, limits)
    if not isinstance(tree, ast.File):
        return None
    tree.comments = comments
    return tree


def parse_expression(source: Source, report: Report, limits: Limits = DEFAULT_LIMITS) -> ast.Expr | None:
    """The tree of one expression (`64`, `[2, 2, 2]`, `4 * width`, `3x320x320`), or None where it is none."""
    tree, _ = _run("expr", source, report, limits)
    return None if isinstance(tree, ast.File) else tree


def _run(
    start: str, source: Source, report: Report, limits: Limits
) -> tuple[ast.File | ast.Expr | None, tuple[Span, ...]]:
    looked = scan(source, report, limits)
    if looked.refused:
        return None, ()
    builder = Builder(source, report, limits)
    stray: list[
        int
    ] = []  # where lines begin that stand outside of all definitions; of those in a row, the first is told

    def failed(failure: Failure) -> bool:
        # Where brackets do not match, and at the end of a text with mistakes, more would be noise.
        if failure.start >= looked.sound or (failure.kind == END and builder.failed):
            return False
        if set(failure.symbols) <= _BETWEEN:
            follows = bool(stray) and not _DEFINITION.search(source.text, stray[-1], failure.start)
            stray.append(failure.start)
            if follows:
                return False
        if failure.kind == DEEP:
            builder.too_deep(failure.start)
        else:
            builder.report(explain(failure, source))
        return True

    try:
        tree = Driver(tables.load(), looked.text, builder, failed, STATES_PER_LEVEL * limits.nesting).run(start)
    except EnoughError:
        return None, ()
    return (None if builder.failed or not looked.clean else tree), looked.comments
