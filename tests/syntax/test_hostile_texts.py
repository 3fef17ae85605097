"""Texts made to hurt: each is answered soon, with a place, and never with an exception or a hang."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pace import pace, within
from syntax_structure import formatted
from syntax_texts import PROGRAMS, random_program

from netdsl import codes
from netdsl.diagnostics import Report
from netdsl.limits import DEFAULT_LIMITS
from netdsl.source import Source
from netdsl.syntax.parse import parse
from netdsl.syntax.text import decode

SECONDS = 2.0


def body(text: str) -> str:
    return f"net A {{\n  input x: 3x8x8\n  {text}\n}}\n"


REFUSED = {
    "a million braces": ("{" * 1_000_000, "E0903"),
    "a million parentheses": (body("let a = " + "(" * 1_000_000), "E0903"),
    "a million brackets": (body("let a = " + "[" * 1_000_000), "E0903"),
    "pairs of braces": ("{}" * 100_000, "E0111"),
    "not not not": (body("assert " + "not " * 50_000 + "true"), "E0903"),
    "minus minus minus": (body("let a = " + "-" * 100_000 + "1"), "E0903"),
    "a tower of powers": (body("let a = " + "1 ** " * 40_000 + "1"), "E0903"),
    "a tower of powers in lines": (body("let a = (" + "a\n ** " * 40_000 + "1)"), "E0903"),
    "a long sum": (body("let a = " + "1 + " * 60_000 + "1"), "E0903"),
    "keys of keys": (body("let a = b" + "[0]" * 60_000), "E0903"),
    "parts of parts": (body("let a = b" + ".c" * 60_000), "E0903"),
    "else if else if": (body("if true { relu }" + " else if true { relu }" * 8_000), "E0903"),
    "a name of ten megabytes": ("a" * 10_000_000, "E0902"),
    "many long names": (("a" * 300 + " ") * 800, "E0902"),
    "a number of a megabyte": (body("conv " + "9" * 1_000_000), "E0910"),
    "a long fraction": (body("scale 1." + "9" * 100_000 + "e999"), "E0910"),
    "quotes": (body('assert 1 : "' + '" "' * 60_000), "E0101"),
    "a quote a line": ('"a\n' * 60_000, "E0105"),
    "escapes": (body('assert 1 : "' + "\\q" * 100_000 + '"'), "E0105"),
    "bars": (body("add {" + "|" * 200_000 + "}"), "E0115"),
    "arrows": ("->" * 100_000, "E0111"),
    "a mistake a line": (body("conv 64, k3\n" * 20_000), "E0113"),
    "shuffled keywords": ("net let as for in input " * 8_000, "E01"),
    "all of Unicode": ("".join(map(chr, range(0x80, 0x3000))) * 10, "E0103"),
}


def answered(text: str, limits: object = DEFAULT_LIMITS) -> tuple[Report, bool]:
    report = Report()
    with within(SECONDS):
        tree = parse(Source("a.net", text), report, limits)  # type: ignore[arg-type]
    assert len(report.diagnostics) <= 2 * DEFAULT_LIMITS.errors_shown
    assert (tree is None) == report.has_errors
    assert all(d.primary is not None and d.primary.span.start <= len(text) for d in report.diagnostics)
    assert all(len(d.message) < 300 for d in report.diagnostics)
    return report, tree is not None


@pytest.mark.parametrize("name", REFUSED)
def test_refused_soon(name: str) -> None:
    text, code = REFUSED[name]
    report, _ = answered(text)
    assert report.diagnostics[0].code.startswith(code)


ACCEPTED = {
    "comments": "# a\n" * 60_000,
    "comments after steps": body("relu # a\n" * 20_000),
    "semicolons": ";" * 250_000,
    "blank lines": "\r\n" * 120_000,
    "a list": body("let a = [" + "1," * 100_000 + "1]"),
    "attributes": body("conv 1" + " k1" * 80_000),
    "values": body("conv" + " 1" * 100_000),
    "extents": body("relu : 3" + " x 3" * 60_000),
    "spaces in parentheses": body("let a = (b" + ("\n" + " " * 200) * 1_000 + ")"),
    "comments before an arrow": body("relu" + ("\n" + "#" * 200) * 1_000 + "\n -> relu"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_soon(name: str) -> None:
    _, fine = answered(ACCEPTED[name])
    assert fine


DEEP = DEFAULT_LIMITS.nesting - 2
NESTED = {
    "skip": body("skip { " * DEEP + "relu" + " }" * DEEP),
    "skip in lines": body("skip {\n" * DEEP + "relu" + "\n}" * DEEP),
    "via": body("skip { relu } via { " * DEEP + "relu" + " }" * DEEP),
    "branches": body("add { | it | " * DEEP + "relu" + " }" * DEEP),
    "branches in lines": body("add {\n| it\n| " * DEEP + "relu" + "\n}" * DEEP),
    "else if": body("if a { relu } else " * DEEP + "if a { relu }"),
    "if in else if": body("if a { relu } else if b { " * DEEP + "relu" + " }" * DEEP),
    "a sum in loops": body("repeat 1 { " * DEEP + "let a = " + "1 + " * DEEP + "1" + " }" * DEEP),
    "calls": body("let a = " + "f(" * DEEP + "1" + ")" * DEEP),
    "lists": body("let a = " + "[" * DEEP + "1" + "]" * DEEP),
    "minus": body("let a = " + "-" * DEEP + "1"),
}


@pytest.mark.parametrize("name", NESTED)
def test_nesting_up_to_the_limit_can_be_formatted(name: str) -> None:
    once = formatted(NESTED[name])
    assert formatted(once) == once


@pytest.mark.parametrize("name", NESTED)
def test_the_limit_of_nesting_is_exact(name: str) -> None:
    """What is as deep as allowed is accepted, what is deeper than a smaller limit is refused."""
    report, fine = answered(NESTED[name], replace(DEFAULT_LIMITS, nesting=DEEP // 2))
    assert not fine
    assert {d.code for d in report.diagnostics} == {codes.NESTING_TOO_DEEP}
    assert answered(NESTED[name], replace(DEFAULT_LIMITS, nesting=DEEP + 2))[1]


def test_time_is_linear_in_length() -> None:
    """Ten times the lines, ten times the time; 10,000 lines in half a second on an ordinary machine."""

    def seconds(lines: int) -> float:
        source = Source("a.net", body("conv 64 k3 p1 -> relu\n" * lines))
        best = 1e9
        for _ in range(3):
            start = time.process_time()
            assert parse(source, Report()) is not None
            best = min(best, time.process_time() - start)
        return best

    seconds(10)
    short, long = seconds(1_000), seconds(10_000)
    assert long < 20 * short
    assert long < 1.5 * pace()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    report = Report()
    source = decode(data, "a.net", report)
    tree = parse(source, report) if source else None
    assert (tree is None) == report.has_errors


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**40))
def test_programs_with_a_hole_or_a_slip(seed: int) -> None:
    """A program with a few characters removed, doubled or swapped: a tree or a message, and no exception."""
    random = Random(seed)
    text = random_program(seed) if random.random() < 0.5 else random.choice(list(PROGRAMS.values()))
    for _ in range(random.randint(1, 3)):
        at, length = random.randrange(len(text)), random.randint(0, 4)
        insert = random.choice(
            ["", "", "{", "}", "(", ")", "->", "|", "=", "x", "3", '"', "\n", ",", " as ", "é", "let "]
        )
        text = text[:at] + insert + text[at + length :]
    answered(text)


def test_the_stack_is_left_as_it_was() -> None:
    limit = sys.getrecursionlimit()
    answered("(" * 200_000)
    assert sys.getrecursionlimit() == limit
