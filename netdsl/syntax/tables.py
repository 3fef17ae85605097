"""The parser's tables: what `netdsl.syntax.generate` made of the grammar, ready to run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

from netdsl import grammars

END = "$END"
LITERAL = "LITERAL"
STRANGE = "STRANGE"

SOFT = {"_NL": "", "_X": "NAME", "SHORT": "NAME", "DTYPE": "NAME"}
"""Terminals that the parser may be unable to take, and what they are then; a line break may be nothing at all."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One production. `method` makes its value; None passes on the value of its only part that has one."""

    origin: str
    method: str | None
    symbols: int
    values: int


@dataclass(frozen=True)
class Tables:
    """LALR(1) tables. `states[s][symbol]` is the next state, or ~r to reduce by `rules[r]`.

    `match(text, position)` finds the next token, blanks before it skipped; its `lastgroup` is the terminal, or LITERAL
    for those in `literals`, STRANGE for a character that begins none. `silent` terminals have no value.
    """

    match: Callable[[str, int], re.Match[str]]
    literals: dict[str, str]
    silent: frozenset[str]
    rules: tuple[Rule, ...]
    states: tuple[dict[str, int], ...]
    starts: dict[str, tuple[int, int]]

    @cached_property
    def entries(self) -> dict[int, str]:
        """For each state but the first the symbol that leads to it."""
        return {to: symbol for row in self.states for symbol, to in row.items() if to >= 0}


@cache
def load() -> Tables:
    """Read the tables; the second call costs nothing."""
    data = json.loads(grammars.read("net.json"))
    return Tables(
        match=_matcher(data["terminals"], data["literals"]),
        literals=data["literals"],
        silent=frozenset(data["silent"]),
        rules=tuple(Rule(*row) for row in data["rules"]),
        states=tuple(data["states"]),
        starts={name: (first, last) for name, (first, last) in data["starts"].items()},
    )


def _matcher(terminals: list[list[str]], literals: dict[str, str]) -> Callable[[str, int], re.Match[str]]:
    patterns = dict(terminals)
    new_line, skip = patterns.pop("_NL"), patterns.pop("_SKIP")
    # Longest first, so that `->` is not read as `-`; a word must end where it ends.
    fixed = sorted(literals, key=lambda text: (-len(text), text))
    escaped = [re.escape(text) + (r"\b" if text[0].isalpha() else "") for text in fixed]
    choices = [f"(?P<{name}>{pattern})" for name, pattern in patterns.items()]
    choices += [f"(?P<{LITERAL}>{'|'.join(escaped)})", rf"(?P<{STRANGE}>.)", r"(?P<END>\Z)"]
    # Every text matches: it ends, or has one more character.
    token = re.compile(rf"(?:(?P<_NL>{new_line})|(?:{skip})?(?:{'|'.join(choices)}))", re.DOTALL)
    return token.match  # type: ignore[return-value]
