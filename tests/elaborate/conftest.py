"""Helpers: a text becomes a graph, or the mistakes found in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from netdsl.diagnostics import Diagnostic, NetError, Report
from netdsl.elaborate import Options, Program, elaborate, nets
from netdsl.ir.graph import Graph
from netdsl.source import Source
from netdsl.syntax.parse import parse

Build = Callable[..., Graph]
Find = Callable[..., tuple[Diagnostic, ...]]


def expand(text: str, report: Report, used: dict[str, str] | None = None, **options: Any) -> Graph | None:
    file = parse(Source("test.net", text), report)
    files = {path: parse(Source(path, body), report) for path, body in (used or {}).items()}
    report.raise_if_errors()
    assert file is not None
    program = Program(file, {path: tree for path, tree in files.items() if tree is not None})
    return elaborate(program, nets(program)[0], Options(**options), report)


@pytest.fixture
def build() -> Build:
    """The graph of the first net of a text that has no errors."""

    def run(text: str, **options: Any) -> Graph:
        report = Report()
        graph = expand(text, report, **options)
        report.raise_if_errors()
        assert graph is not None
        return graph

    return run


@pytest.fixture
def find() -> Find:
    """All diagnostics of a text."""

    def run(text: str, **options: Any) -> tuple[Diagnostic, ...]:
        report = Report()
        try:
            expand(text, report, **options)
        except NetError as error:
            return error.diagnostics
        return report.diagnostics

    return run
