"""`netdsl fmt`: every program in the one layout."""

from __future__ import annotations

import argparse
import sys
from typing import NamedTuple

from netdsl import files
from netdsl.cli import common
from netdsl.diagnostics import NetError, Report
from netdsl.limits import Limits
from netdsl.syntax.format import format
from netdsl.syntax.parse import parse
from netdsl.syntax.text import decode


class Layout(NamedTuple):
    """A file as it is and as it should be; `name` is what messages call it."""

    file: str
    name: str
    before: str
    after: str
    changed: bool


def main(arguments: list[str]) -> int:
    """Rewrite the files, or with `--check` and `--diff` say what would change. All are read before any is written."""
    parser = common.Parser("fmt", "Rewrite .net files in the one layout. `-` reads standard input and prints.")
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 if anything would change")
    parser.add_argument("--diff", action="store_true", help="change nothing; print what would change")
    options = parser.parse(arguments)
    return common.run(options, lambda report: _fmt(options, report))


def _fmt(options: argparse.Namespace, report: Report) -> int:
    limits = common.limits_of(options)
    layouts = [layout for file in dict.fromkeys(options.files) if (layout := _layout(file, report, limits))]
    report.raise_if_errors()
    changed = [layout for layout in layouts if layout.changed]
    if options.diff:
        sys.stdout.write("".join(map(_diff, changed)))
    if options.check:
        for layout in changed:
            common.say(f"would reformat {layout.name}")
        return common.WRONG_INPUT if changed else common.DONE
    if options.diff:
        return common.DONE
    for layout in layouts:
        if layout.file == files.STDIN:
            sys.stdout.write(layout.after)
    for layout in changed:
        if layout.file != files.STDIN:
            files.write(layout.file, layout.after.encode(), objection=lambda _: None)
            common.say(f"reformatted {layout.file}")
    return common.DONE


def _layout(file: str, report: Report, limits: Limits) -> Layout | None:
    """The layout of one file; None where the report says what is wrong with it."""
    try:
        data = files.read(file, limits.file_bytes)
    except NetError as error:
        common.take(report, error.diagnostics)
        return None
    source = decode(data, "<stdin>" if file == files.STDIN else file, report, limits)
    tree = parse(source, report, limits) if source else None
    if source is None or tree is None:
        return None
    after = format(source, tree)
    return Layout(file, source.name, source.text, after, data != after.encode())


def _diff(layout: Layout) -> str:
    from difflib import unified_diff

    lines = (layout.before.splitlines(keepends=True), layout.after.splitlines(keepends=True))
    diff = unified_diff(*lines, layout.name, f"{layout.name} (formatted)")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in diff)
