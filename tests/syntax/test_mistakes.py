"""What wrong programs are told, word for word. `python tests/syntax/test_mistakes.py` rewrites the expected texts.

Each file of `mistakes/` is named after the code it is about and holds cases: a title, a program, what is said about it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from netdsl import codes
from netdsl.diagnostics import Label, Report
from netdsl.render import full
from netdsl.source import Source
from netdsl.syntax.parse import parse
from netdsl.syntax.tables import load
from netdsl.syntax.text import decode

FOLDER = Path(__file__).parent / "mistakes"
CASE = re.compile(r"^=== (.*)\n((?:(?!---\n|===).*\n)*)---\n((?:(?!=== ).*\n)*)", re.MULTILINE)
CASES = {
    f"{path.stem}: {title}": (path.stem, text, said)
    for path in sorted(FOLDER.glob("E*.txt"))
    for title, text, said in CASE.findall(path.read_text("utf-8"))
}
TERMINALS = {*load().literals.values(), *load().match("", 0).re.groupindex}
MINE = sorted(code for code in vars(codes).values() if isinstance(code, str) and code.startswith("E01"))


def told(text: str) -> str:
    """The diagnostics of a text, a paragraph each: code and place, sentence, labels, help."""
    report = Report()
    tree = parse(Source("a.net", text), report)
    assert (tree is None) == report.has_errors
    paragraphs = []
    for d in report.diagnostics:
        assert d.primary is not None
        lines = [f"{d.code} at {_place(d.primary)}", d.message]
        lines += [f"- {_place(label)}" for label in d.secondary]
        lines += [f"help: {d.help}"] if d.help else []
        paragraphs.append("".join(f"{line}\n" for line in lines))
    return "\n".join(paragraphs)


def _place(label: Label) -> str:
    start, text = label.span, label.span.text
    shown = text if len(text) <= 60 else f"{text[:50]}...{len(text)}"
    return f"{start.line}:{start.column} [{shown}]" + (f": {label.text}" if label.text else "")


@pytest.mark.parametrize("case", CASES)
def test_said(case: str) -> None:
    code, text, said = CASES[case]
    found = told(text)
    assert found == said
    assert f"{code} at" in found
    if code != codes.STRANGE_CHARACTER:  # MINUS SIGN is a character's name
        assert not TERMINALS & set(re.findall(r"\w+", found))


def test_every_code_has_a_case() -> None:
    # E0102 is about bytes that are no text: see test_text.py.
    assert {path.stem for path in FOLDER.glob("E01*.txt")} == set(MINE) - {"E0102"}


@pytest.mark.parametrize("code", MINE)
def test_pages(code: str) -> None:
    """The bad program gives the code, the good one gives nothing."""
    page = (Path(codes.__file__).parent / "pages" / f"{code}.md").read_text("utf-8")
    assert page.startswith(f"# {code}: ")
    bad, good = (re.findall(rf"^```net {kind}\n(.*?)^```", page, re.M | re.S) for kind in ("bad", "good"))
    if code == codes.NOT_TEXT:
        report = Report()
        assert decode(b"# Gr\xfcn\nnet A { relu }\n", "latin.net", report) is None
        assert full(report.diagnostics) in page
        return
    assert bad
    assert good
    assert all(f"{code} at" in told(text) for text in bad)
    assert all(told(text) == "" for text in good)


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("E*.txt")):
        cases = CASE.findall(path.read_text("utf-8"))
        path.write_text("".join(f"=== {title}\n{text}---\n{told(text)}" for title, text, _ in cases), "utf-8")
