"""Text -> tree -> text -> tree: the tree stays what it is, and the layout is one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syntax_structure import formatted, parsed, structure
from syntax_texts import PROGRAMS, random_program

from netdsl.syntax.driver import Driver
from netdsl.syntax.format import WIDTH
from netdsl.syntax.tables import load


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_stand_as_the_formatter_has_them(name: str) -> None:
    assert formatted(PROGRAMS[name]) == PROGRAMS[name]


@pytest.mark.parametrize("name", PROGRAMS)
def test_layout_says_nothing(name: str) -> None:
    """The same program with other margins and wider gaps is laid out the same."""
    text = PROGRAMS[name]
    gaps = {" -> ": "   ->  ", " { ": "  {   ", ") {": ")\t{"}
    wide = ""
    for line in text.splitlines():
        for gap, wider in gaps.items():
            line = line.replace(gap, wider)
        wide += f"   {line}  \n"
    assert wide != text
    assert formatted(wide) == text


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**40).map(random_program))
def test_random_programs(text: str) -> None:
    tree = parsed(text)
    once = formatted(text)
    again = parsed(once)
    assert structure(again) == structure(tree)
    assert formatted(once) == once
    assert sorted(c.text.rstrip() for c in again.comments) == sorted(c.text.rstrip() for c in tree.comments)
    assert "\n\n\n" not in once
    assert not any(line != line.rstrip() for line in once.splitlines())


def test_random_programs_reach_every_rule() -> None:
    """Otherwise the test above would say less than it seems to."""

    class Counting:
        def __init__(self) -> None:
            self.seen: set[str] = set()

        def __getattr__(self, name: str) -> object:
            return lambda *parts: self.seen.add(name)

    counting = Counting()
    for seed in range(100):
        Driver(load(), random_program(seed), counting, lambda failure: False, 2000).run("file")
    assert counting.seen == {rule.method for rule in load().rules if rule.method}


@pytest.mark.parametrize("name", PROGRAMS)
def test_lines_fit(name: str) -> None:
    narrow = PROGRAMS[name].replace("width", "a_rather_long_name_of_a_parameter")
    text = formatted(narrow)
    assert formatted(text) == text
    for line in text.splitlines():
        # What may stay long: one step, whose attributes stay on its line, and what has no bracket or arrow to break at.
        assert len(line) <= WIDTH or "->" not in line, line
