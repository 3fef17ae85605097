"""Compile the grammar: `python -m netdsl.syntax.generate` writes grammars/net.json from grammars/net.lark.

lark checks that the grammar is LALR(1) without a conflict and works out the tables. Only this tool imports lark:
reading the finished tables takes two milliseconds, importing lark and building them 170.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import lark
from lark.lexer import PatternStr
from lark.parsers.lalr_analysis import Shift

from netdsl.syntax.tables import END

GRAMMARS = Path(__file__).resolve().parent.parent / "grammars"
STARTS = ["file", "expr"]


def compile_grammar(text: str) -> dict[str, Any]:
    """The tables of a grammar, as `netdsl.syntax.tables` reads them.

    terminals  [name, regular expression], in the order to try them in.
    literals   terminals that are one fixed text, by that text.
    rules      [nonterminal, method or null for "the value of its one part", symbols, symbols that have a value].
    silent     terminals without a value.
    states     for each state, by symbol: the state to go to, or ~rule to reduce by.
    starts     for each start symbol: its first state, and its last, which takes the end of the text to itself.
    """
    with _conflicts_are_errors():
        grammar = lark.Lark(text, parser="lalr", lexer="contextual", start=STARTS, maybe_placeholders=False, debug=True)
    table = grammar.parser.parser._parse_table
    states = _numbered(table)
    rules = sorted(grammar.rules, key=lambda rule: (rule.origin.name, [symbol.name for symbol in rule.expansion]))
    number = {rule: i for i, rule in enumerate(rules)}
    silent = {symbol.name for rule in rules for symbol in rule.expansion if getattr(symbol, "filter_out", False)}
    fixed = {t.name: t.pattern.value for t in grammar.terminals if isinstance(t.pattern, PatternStr)}
    varying = sorted((t for t in grammar.terminals if t.name not in fixed), key=lambda t: (-t.priority, t.name))
    return {
        "terminals": [[t.name, t.pattern.to_regexp()] for t in varying],
        "literals": {text: name for name, text in sorted(fixed.items())},
        "silent": sorted(silent),
        "rules": [_rule(rule, silent) for rule in rules],
        "starts": {name: [states[table.start_states[name]], states[table.end_states[name]]] for name in STARTS},
        "states": [
            {
                symbol: states[target] if action is Shift else ~number[target]
                for symbol, (action, target) in sorted(table.states[state].items())
            }
            | ({END: number_of} if state in table.end_states.values() else {})
            for state, number_of in states.items()
        ],
    }


def _numbered(table: Any) -> dict[Any, int]:
    """The states, numbered in the order in which they are reached: lark's own order changes from run to run."""
    numbers: dict[Any, int] = {}
    reached = [table.start_states[name] for name in STARTS]
    for state in reached:
        if state not in numbers:
            numbers[state] = len(numbers)
            row = sorted(table.states[state].items())
            reached += [target for _, (action, target) in row if action is Shift]
    return numbers


def _rule(rule: Any, silent: set[str]) -> list[Any]:
    valued = [symbol for symbol in rule.expansion if symbol.name not in silent]
    method = rule.alias or (None if rule.options.expand1 and len(valued) == 1 else rule.origin.name)
    return [rule.origin.name, method, len(rule.expansion), len(valued)]


def _conflicts_are_errors() -> Any:
    """lark settles a shift/reduce conflict by shifting and only logs it; here it is an error."""

    class Strict(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "conflict" in record.getMessage().lower():
                raise ValueError(record.getMessage())

        def __enter__(self) -> None:
            lark.logger.addHandler(self)
            lark.logger.setLevel(logging.DEBUG)

        def __exit__(self, *_: object) -> None:
            lark.logger.removeHandler(self)
            lark.logger.setLevel(logging.CRITICAL)

    return Strict()


def as_json(tables: dict[str, Any]) -> str:
    """The tables with one entry a line, so that changes can be reviewed."""
    parts = []
    for key, value in tables.items():
        if isinstance(value, dict):
            rows = [f"{json.dumps(name)}: {json.dumps(item)}" for name, item in value.items()]
            parts.append(f'"{key}": {{\n' + ",\n".join(rows) + "\n}")
        else:
            parts.append(f'"{key}": [\n' + ",\n".join(json.dumps(item) for item in value) + "\n]")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    tables = compile_grammar((GRAMMARS / "net.lark").read_text("utf-8"))
    (GRAMMARS / "net.json").write_text(as_json(tables), "utf-8")
