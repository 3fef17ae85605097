"""Diagnostics for programs to read: JSON, SARIF 2.1.0 and GitHub's workflow commands."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from netdsl.diagnostics import Diagnostic, Label
from netdsl.render import calls, end_position, shown
from netdsl.source import encodable


def as_json(diagnostics: Iterable[Diagnostic], limit: int = 20) -> str:
    """One document: `{"schema_version": 1, "diagnostics": [...], "more": null | "... and 3 more errors"}`.

    Each diagnostic has `severity`, `code`, `message`, `file`, `line`, `column`, `end_line`, `end_column` (null where
    no source text exists), `labels` (the primary one first), `calls`, `notes` and `help`.
    """
    kept, more = shown(diagnostics, limit)
    return json.dumps({"schema_version": 1, "diagnostics": [_plain(d) for d in kept], "more": more}, indent=2) + "\n"


def _plain(diagnostic: Diagnostic) -> dict[str, Any]:
    labels = ((diagnostic.primary,) if diagnostic.primary else ()) + diagnostic.secondary
    place = _place(diagnostic.primary) if diagnostic.primary else dict.fromkeys(_PLACE)
    return {
        "severity": diagnostic.severity.value,
        "code": str(diagnostic.code),
        "message": encodable(diagnostic.message),
        **place,
        "labels": [{**_place(label), "text": label.text} for label in labels],
        "calls": [
            {"call": frame.call, "called_at": str(frame.span) if frame.span else None}
            for frame in (diagnostic.frame.chain() if diagnostic.frame else ())
        ],
        "notes": list(diagnostic.notes),
        "help": diagnostic.help,
    }


_PLACE = ("file", "line", "column", "end_line", "end_column")


def _place(label: Label) -> dict[str, Any]:
    span = label.span
    return dict(zip(_PLACE, (span.source.name, span.line, span.column, *end_position(span)), strict=True))


def github(diagnostics: Iterable[Diagnostic], limit: int = 20) -> str:
    """Workflow commands, one line each, that GitHub shows as annotations of a pull request."""
    kept, more = shown(diagnostics, limit)
    lines = []
    for d in kept:
        fields = {"title": str(d.code)}
        if d.primary:
            line, column = end_position(d.primary.span)
            fields = {
                "file": d.primary.span.source.name,
                "line": str(d.primary.span.line),
                "endLine": str(line),
                "col": str(d.primary.span.column),
                "endColumn": str(column),
                **fields,
            }
        body = "\n".join(part for part in (_message(d), d.help and f"help: {d.help}") if part)
        settings = ",".join(f"{key}={_escape(value, ':,')}" for key, value in fields.items())
        lines.append(f"::{d.severity.value} {settings}::{_escape(body)}\n")
    if more:
        lines.append(f"::notice::{more}\n")
    return "".join(lines)


def _escape(text: str, also: str = "") -> str:
    for char in "%\r\n" + also:
        text = text.replace(char, f"%{ord(char):02X}")
    return text


def _message(diagnostic: Diagnostic) -> str:
    """The sentence, what stands under the caret, and the calls that led there."""
    label = diagnostic.primary.text if diagnostic.primary else ""
    parts = (diagnostic.message, label, calls(diagnostic.frame), *diagnostic.notes)
    return encodable("\n".join(part for part in parts if part))


def sarif(diagnostics: Iterable[Diagnostic], limit: int = 20) -> str:
    """One SARIF 2.1.0 log, as code-scanning services take it."""
    kept, _ = shown(diagnostics, limit)
    rules = sorted({str(d.code) for d in kept})
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "netdsl", "rules": [{"id": rule} for rule in rules]}},
                "columnKind": "unicodeCodePoints",
                "results": [_result(d) for d in kept],
            }
        ],
    }
    return json.dumps(log, indent=2) + "\n"


def _result(diagnostic: Diagnostic) -> dict[str, Any]:
    text = _message(diagnostic) + (f"\nhelp: {diagnostic.help}" if diagnostic.help else "")
    result: dict[str, Any] = {
        "ruleId": str(diagnostic.code),
        "level": diagnostic.severity.value,
        "message": {"text": text},
    }
    if diagnostic.primary:
        result["locations"] = [_location(diagnostic.primary)]
    if diagnostic.secondary:
        result["relatedLocations"] = [
            {**_location(label), "message": {"text": label.text}} for label in diagnostic.secondary
        ]
    return result


def _location(label: Label) -> dict[str, Any]:
    line, column = end_position(label.span)
    region = {
        "startLine": label.span.line,
        "startColumn": label.span.column,
        "endLine": line,
        "endColumn": column,
    }
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(label.span.source.name)}, "region": region}}


def _uri(name: str) -> str:
    """A path as a relative reference; percent-encoding by hand keeps `urllib` out of the start-up."""
    safe = "/-._~"
    return "".join(
        chr(byte) if (byte < 128 and chr(byte).isalnum()) or chr(byte) in safe else f"%{byte:02X}"
        for byte in name.replace(os.sep, "/").encode()
    )
