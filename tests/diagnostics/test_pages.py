"""Every code has a page, and every page is right: its bad example gives the code, its good one does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from netdsl import codes, driver, explain
from netdsl.diagnostics import Code, NetError, Report

CODES = {name: value for name, value in vars(codes).items() if isinstance(value, Code)}
TESTS = Path(__file__).parents[1]


def found_in(text: str, folder: Path) -> set[str]:
    """The codes that a program gives."""
    path = folder / "page.net"
    path.write_text(text)
    report = Report()
    try:
        driver.check(str(path), report)
    except NetError as error:
        return {str(diagnostic.code) for diagnostic in error.diagnostics}
    return {str(diagnostic.code) for diagnostic in report.diagnostics}


def test_codes_are_told_apart() -> None:
    assert len(set(CODES.values())) == len(CODES)


def test_codes_and_pages_match() -> None:
    assert explain.pages() == sorted(CODES.values())


@pytest.mark.parametrize("code", sorted(CODES.values()))
def test_page(code: str, tmp_path: Path) -> None:
    text = explain.page(code)
    assert text is not None
    assert re.match(rf"# {code}: \S", text)
    bad, good = explain.examples(text, "net bad"), explain.examples(text, "net good")
    console = explain.examples(text, "console")
    assert (len(bad) >= 1 and len(good) >= 1) or len(console) == 2
    for example in bad:
        assert code in found_in(example, tmp_path), example
    for example in good:
        found = found_in(example, tmp_path)
        assert not {name for name in found if name == code or name.startswith("E")}, example
    if console:
        assert f"[{code}]" in console[0]
        assert f"[{code}]" not in console[1]


@pytest.mark.parametrize(
    "name", sorted(name for name, code in CODES.items() if "```net bad" not in (explain.page(code) or ""))
)
def test_codes_that_no_program_gives_are_tested_elsewhere(name: str) -> None:
    """By its constant or its number, in a test that makes it happen."""
    pattern = re.compile(rf"\b(codes\.{name}|{CODES[name]})\b")
    here = Path(__file__)
    assert any(pattern.search(path.read_text()) for path in TESTS.rglob("test_*.py") if path != here)


def test_unknown_codes_have_no_page() -> None:
    assert explain.page("E9999") is None
    assert explain.page("../README") is None
