"""The parser's tables are those of the grammar, and running them gives what lark's own parser gives."""

from __future__ import annotations

import logging
import subprocess
import sys

import lark
import pytest
from syntax_texts import PROGRAMS, random_program

from netdsl import grammars
from netdsl.syntax.driver import Driver
from netdsl.syntax.generate import as_json, compile_grammar
from netdsl.syntax.tables import load

Shown = tuple[object, ...] | str


class Recorder:
    """A builder whose values are what was called with what."""

    def __getattr__(self, name: str) -> object:
        def method(start: int, end: int, *parts: object) -> list[object]:
            return [name, *parts]

        return method


def ours(text: str) -> object:
    def shown(value: object) -> Shown:
        if isinstance(value, list):
            return tuple(map(shown, value)) if not isinstance(value[0], str) else (value[0], *map(shown, value[1:]))
        assert isinstance(value, tuple)
        return str(value[0])

    found: list[object] = []
    made = Driver(load(), text, Recorder(), lambda failure: found.append(failure) or False, 2000).run("file")
    assert not found
    return shown(made)


def theirs(parser: lark.Lark, text: str) -> object:
    def shown(value: object) -> Shown:
        if isinstance(value, lark.Tree):
            return (str(value.data), *map(shown, value.children))
        return str(value)

    return shown(parser.parse(text, start="file"))


@pytest.fixture(scope="module")
def parser() -> lark.Lark:
    text = grammars.read("net.lark")
    return lark.Lark(text, parser="lalr", lexer="contextual", start=["file", "expr"], maybe_placeholders=False)


def test_tables_are_current() -> None:
    assert as_json(compile_grammar(grammars.read("net.lark"))) == grammars.read("net.json"), (
        "run python -m netdsl.syntax.generate"
    )


def test_a_conflict_is_an_error() -> None:
    level, handlers = lark.logger.level, list(lark.logger.handlers)
    grammar = 'file: a "x" | a\nexpr: "e"\na: "b" | a "x"\n'
    with pytest.raises((ValueError, lark.exceptions.GrammarError), match=r"(?i)conflict|collision"):
        compile_grammar(grammar)
    assert lark.logger.handlers == handlers
    assert level in (lark.logger.level, logging.CRITICAL)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_as_lark_reads_them(parser: lark.Lark, name: str) -> None:
    assert ours(PROGRAMS[name]) == theirs(parser, PROGRAMS[name])


def test_random_programs_as_lark_reads_them(parser: lark.Lark) -> None:
    """lark cannot tell a line break inside parentheses from one that ends a line, so it may refuse some."""
    read = 0
    for seed in range(300):
        text = random_program(seed)
        try:
            tree = theirs(parser, text)
        except lark.exceptions.UnexpectedInput:
            continue
        read += 1
        assert ours(text) == tree, text
    assert read >= 100


def test_reading_needs_no_lark() -> None:
    """A cold process parses, formats and reports mistakes without lark, numpy or anything else from outside."""
    code = (
        "import sys\n"
        "from netdsl.source import Source; from netdsl.diagnostics import Report\n"
        "from netdsl.syntax.parse import parse; from netdsl.syntax.format import format\n"
        "source = Source('a.net', 'net A { relu }'); format(source, parse(source, Report()))\n"
        "parse(Source('a.net', 'net A { relu -> -> }'), Report())\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('lark', 'numpy', 'torch', 'jinja2')))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
