"""What bytes become: text with right columns, or a refusal that names what they are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netdsl import codes
from netdsl.diagnostics import Diagnostic, Report
from netdsl.limits import DEFAULT_LIMITS
from netdsl.source import Source
from netdsl.syntax.parse import parse, parse_expression
from netdsl.syntax.text import decode


def refused(data: bytes) -> Diagnostic:
    report = Report()
    assert decode(data, "a.net", report) is None
    (found,) = report.diagnostics
    return found


@pytest.mark.parametrize(
    "data", [b"net A { relu }\n", b"\xef\xbb\xbfnet A { relu }\n", b"\xef\xbb\xbfnet A {\r\nrelu\r}\r\n"]
)
def test_accepted(data: bytes) -> None:
    report = Report()
    source = decode(data, "a.net", report)
    assert source is not None
    assert source.text.startswith("net A {")
    assert "\r" not in source.text
    tree = parse(source, report)
    assert tree is not None
    assert tree.definitions[0].span.column == 1


def test_latin_1_is_named_with_its_place() -> None:
    found = refused("# Lösung\nnet A { relu } # grün\n".encode()[:-4] + b"\xfcn\n")
    assert found.code == codes.NOT_TEXT
    assert "0xFC" in found.message
    assert "Latin-1" in found.message
    assert found.primary is not None
    assert (found.primary.span.line, found.primary.span.column) == (2, 20)


def test_nul_is_named_with_its_place() -> None:
    found = refused(b"net A {\r\n  re\0lu }\n")
    assert found.code == codes.NOT_TEXT
    assert "U+0000" in found.message
    assert found.primary is not None
    assert (found.primary.span.line, found.primary.span.column) == (2, 5)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16_is_refused(encoding: str) -> None:
    found = refused("net A { relu }".encode(encoding))
    assert found.code == codes.NOT_TEXT
    assert ("UTF-16" in found.message) == (encoding == "utf-16")


def test_size_limit() -> None:
    report = Report()
    assert decode(b"#" * DEFAULT_LIMITS.file_bytes, "a.net", report) is not None
    assert decode(b"#" * (DEFAULT_LIMITS.file_bytes + 1), "a.net", report) is None
    assert [d.code for d in report.diagnostics] == [codes.FILE_TOO_LARGE]
    limits = replace(DEFAULT_LIMITS, file_bytes=2**20)
    assert decode(b"#" * (DEFAULT_LIMITS.file_bytes + 1), "a.net", Report(), limits) is not None


@pytest.mark.parametrize(
    "text", ["64", "-1", "[2, 2, 2]", "3x320x320", "true", "4*width + 1", '"a"', "e[1].height", "f(x, a=1)"]
)
def test_an_expression_alone(text: str) -> None:
    tree = parse_expression(Source("--set", text), Report())
    assert tree is not None
    assert tree.span.text == text


@pytest.mark.parametrize("text", ["", "1 2", "relu -> relu", "a =", "(", "3x", "a; b", "net A { relu }"])
def test_no_expression(text: str) -> None:
    report = Report()
    assert parse_expression(Source("--set", text), report) is None
    assert report.has_errors
    assert all(d.primary is not None for d in report.diagnostics)
