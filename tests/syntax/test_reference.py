"""The programs in docs/language.md are programs, laid out as the formatter has them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from syntax_structure import formatted

from netdsl.syntax.tables import load

TEXT = (Path(__file__).parents[2] / "docs" / "language.md").read_text("utf-8")
PROGRAMS = re.findall(r"^```net\n(.*?)^```", TEXT, re.M | re.S)


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_programs(number: int) -> None:
    """Pieces of a body are tried inside one."""
    text = PROGRAMS[number]
    if not re.search(r"^(?:net|block) ", text, re.M):
        lines = [f"  {line}" if line else "" for line in text.splitlines()]
        text = "\n".join(["net Tried {", *lines, "}", ""])
    assert formatted(text) == text


def test_every_word_of_the_language_is_listed() -> None:
    (listed,) = re.findall(r"These words are no names: `([a-z\s]+)`", TEXT)
    assert sorted(listed.split()) == sorted(word for word in load().literals if word.isalpha())
