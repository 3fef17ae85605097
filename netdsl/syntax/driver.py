"""Run the parser's tables over a text: a table-driven LALR(1) parser with a lexer that knows the parser's state.

lark makes the tables (`netdsl.syntax.generate`) but does not run them: this loop takes a third of the time of lark's
own, builds the tree as it goes, and needs no import of lark (40 ms of every command).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from netdsl.syntax.tables import END, LITERAL, SOFT, Tables

Token = tuple[str, int]
"""What a terminal's value is: its text, and the offset where it starts."""

Method = Callable[..., Any]
"""Makes the value of a rule from the offsets where its text starts and ends, and the values of its parts."""

BOUNDARIES = ("_NL", "RBRACE", "VBAR", END)
"""Where a statement may end, so where to go on after a mistake."""
DEEP = "DEEP"
"""Kind of a failure where too much waits for its end: `not not not ...`, `a ** b ** c ...`."""

CONTINUED = ("_ARROW", "COMMA", "LBRACE", "VBAR", "LPAR", "LSQB", "")
"""After these a statement goes on in the next line."""

OPENING = ("LPAR", "LSQB", "LBRACE")
CLOSING = ("RPAR", "RSQB", "RBRACE")

_COMMENT = re.compile(r"#[^\n]*")


@dataclass(frozen=True, slots=True)
class Failure:
    """A token that cannot stand where it stands.

    after    where what was read before it ends.
    symbols  what was read before it and is not finished, as symbols of the grammar.
    viable   the terminals that could stand there.
    """

    kind: str
    start: int
    end: int
    after: int
    symbols: tuple[str, ...]
    viable: frozenset[str]


class Driver:
    """One run over one text. `failed` is told of every mistake, and says whether to go on."""

    def __init__(
        self, tables: Tables, text: str, builder: object, failed: Callable[[Failure], bool], deepest: int
    ) -> None:
        self._tables = tables
        self._text = text
        self._failed = failed
        self._deepest = deepest  # how many states may wait for the end of what they began
        self._rules = [
            (rule.origin, getattr(builder, rule.method) if rule.method else None, rule.symbols, rule.values)
            for rule in tables.rules
        ]
        self._states: list[int] = []
        self._starts: list[int] = []
        self._values: list[Any] = []

    def run(self, start: str, position: int = 0) -> Any:
        """The value of the text as a `start`; None where `failed` gave up or nothing after a mistake could be read."""
        tables, text, rules = self._tables, self._text, self._rules
        match, literals, silent, table = tables.match, tables.literals, tables.silent, tables.states
        states, starts, values = self._states, self._starts, self._values
        deepest = self._deepest
        first, final = tables.starts[start]
        states[:], starts[:], values[:] = [first], [position], []
        end, last = position, ""  # of the last token taken
        while True:
            found = match(text, position)
            kind: Any = found.lastgroup
            begin, position = found.span(kind)
            if kind == LITERAL:
                kind = literals[found[LITERAL]]
            elif kind == "END":
                kind = END
            elif kind in SOFT and not self._takes(kind):
                if kind != "_NL":
                    kind = SOFT[kind]
                else:
                    # A line break may count for nothing; a semicolon never does.
                    semicolon = _COMMENT.sub(lambda c: " " * len(c[0]), text[begin:position]).find(";")
                    if semicolon >= 0:
                        kind, begin, position = "SEMICOLON", begin + semicolon, begin + semicolon + 1
                    elif last in CONTINUED or self._bracket() in ("LPAR", "LSQB"):
                        continue
            row = table[states[-1]]
            while True:
                action = row.get(kind)
                if action is None:
                    failure = self._failure(kind, begin, position, end)
                    if not self._failed(failure):
                        return None
                    resume = self._recover(failure)
                    if resume is None:
                        return None
                    position, last = resume, ""
                    break
                if action >= 0:
                    if action == final:
                        return values[-1]
                    if len(states) > deepest:
                        self._failed(self._failure(DEEP, begin, position, end))
                        return None
                    states.append(action)
                    starts.append(begin)
                    if kind not in silent:
                        values.append((text[begin:position], begin))
                    end, last = position, kind
                    break
                origin, method, symbols, kept = rules[~action]
                if symbols == 1:
                    if method is not None:
                        if kept:
                            values[-1] = method(starts[-1], end, values[-1])
                        else:
                            values.append(method(starts[-1], end))
                    row = table[states[-2]]
                    state = states[-1] = row[origin]
                    row = table[state]
                    continue
                if method is not None:
                    if kept:
                        values[-kept:] = (method(starts[-symbols], end, *values[-kept:]),)
                    else:
                        values.append(method(starts[-symbols] if symbols else begin, end))
                if symbols:
                    del states[-symbols:], starts[1 - symbols :]
                else:
                    starts.append(begin)
                state = table[states[-1]][origin]
                states.append(state)
                row = table[state]

    def _takes(self, kind: str) -> bool:
        """Whether the parser can shift this terminal, maybe after some reductions. Looks ahead without doing them."""
        table, rules = self._tables.states, self._tables.rules
        action = table[self._states[-1]].get(kind)
        if action is None or action >= 0:
            return action is not None
        states = self._states[:]
        while action is not None and action < 0:
            rule = rules[~action]
            if rule.symbols:
                del states[-rule.symbols :]
            states.append(table[states[-1]][rule.origin])
            action = table[states[-1]].get(kind)
        return action is not None

    def _failure(self, kind: str, start: int, end: int, after: int) -> Failure:
        table = self._tables.states
        entry = self._tables.entries
        viable = frozenset(k for k in table[self._states[-1]] if not k[0].islower() and self._takes(k))
        symbols = tuple(entry[state] for state in self._states[1:])
        return Failure(kind, start, end, after, symbols, viable)

    def _bracket(self) -> str:
        """The innermost bracket that is open."""
        entry = self._tables.entries
        return next((entry[state] for state in reversed(self._states[1:]) if entry[state] in OPENING), "")

    def _recover(self, failure: Failure) -> int | None:
        """Skip to where the statement in which the mistake is may end, and forget what was read of it.

        Returns where to read on, or None at the end of the text. A block that the skipped part opens is skipped whole,
        as are braces that should hold branches and do not.
        """
        kind, begin, position = failure.kind, failure.start, failure.end
        depth = self._open_brackets()
        if failure.viable <= {"VBAR", "_NL"} and "VBAR" in failure.viable:
            entry = self._tables.entries
            while entry[self._states[-1]] != "LBRACE":
                self._drop(len(self._states) - 1)
            self._drop(len(self._states) - 1)
            depth += 1
        while True:
            if kind == END:
                return None
            if kind in OPENING:
                depth += 1
            elif kind in CLOSING and depth:
                depth -= 1
            elif kind in BOUNDARIES and not depth and self._unwind(kind):
                return begin
            found = self._tables.match(self._text, position)
            kind = str(found.lastgroup)
            begin, position = found.span(kind)
            kind = self._tables.literals[found[LITERAL]] if kind == LITERAL else END if kind == "END" else kind

    def _open_brackets(self) -> int:
        """How many parentheses and brackets are open in the statement being read."""
        entry = self._tables.entries
        count = 0
        for state in reversed(self._states[1:]):
            if entry[state] == "LBRACE":
                break
            count += entry[state] in OPENING
        return count

    def _unwind(self, kind: str) -> bool:
        """Drop states until one can take `kind`; drop none if no state can."""
        whole = self._states[:]
        while len(self._states) > 1 and not self._takes(kind):
            self._states.pop()
        found, length = self._takes(kind), len(self._states)
        self._states[:] = whole
        if found:
            self._drop(length)
        return found

    def _drop(self, length: int) -> None:
        """Forget all but the first `length` states, and what was read for the others."""
        entry = self._tables.entries
        valued = sum(entry[state] not in self._tables.silent for state in self._states[length:])
        del self._values[len(self._values) - valued :]
        del self._states[length:], self._starts[length:]
