"""Diagnostics as text: the full form with the source line and a caret, and one line each."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from netdsl.diagnostics import Diagnostic, Frame, Label, Severity
from netdsl.source import Source, Span

WIDTH = 120
"""Columns of a quoted source line; a longer one is trimmed around its carets, and `...` marks where."""
TAB = 4
FRAMES_SHOWN = 6

_COLOURS = {"error": "1;31", "warning": "1;33", "gutter": "1;34", "second": "1;34", "help": "1;36", "bold": "1"}


class Style:
    """Colours, or none. Nothing but this knows an escape sequence."""

    def __init__(self, colour: bool) -> None:
        self.colour = colour

    def __call__(self, role: str, text: str) -> str:
        """The text in the colour of its role."""
        return f"\x1b[{_COLOURS[role]}m{text}\x1b[0m" if self.colour and text else text


PLAIN = Style(False)


def shown(diagnostics: Iterable[Diagnostic], limit: int) -> tuple[list[Diagnostic], str | None]:
    """The first `limit` errors, then the first `limit` warnings, and a sentence on how many more there are."""
    everything = list(diagnostics)
    kept: list[Diagnostic] = []
    more = []
    for severity in Severity:
        group = [d for d in everything if d.severity is severity]
        kept += group[:limit]
        hidden = len(group) - limit
        if hidden > 0:
            more.append(f"{hidden} more {severity.value}{'s' if hidden > 1 else ''}")
    return kept, "... and " + " and ".join(more) if more else None


def full(diagnostics: Iterable[Diagnostic], style: Style = PLAIN, limit: int = 20) -> str:
    """Every diagnostic with its source lines, separated by empty lines; empty text for none."""
    kept, more = shown(diagnostics, limit)
    blocks = [one(diagnostic, style) for diagnostic in kept]
    if more:
        blocks.append(more + "\n")
    return "\n".join(blocks)


def concise(diagnostics: Iterable[Diagnostic], style: Style = PLAIN, limit: int = 20) -> str:
    """One line each: `resnet.net:12:3: error[E0302]: the two sides ...`."""
    kept, more = shown(diagnostics, limit)
    lines = []
    for d in kept:
        place = f"{printable(str(d.primary.span))}: " if d.primary else ""
        lines.append(f"{place}{style(d.severity.value, f'{d.severity.value}[{d.code}]')}: {_one_line(d.message)}\n")
    if more:
        lines.append(more + "\n")
    return "".join(lines)


def one(diagnostic: Diagnostic, style: Style = PLAIN) -> str:
    """One diagnostic in full, ending in a line end."""
    severity = diagnostic.severity.value
    head = style(severity, f"{severity}[{diagnostic.code}]")
    lines = [f"{head}{style('bold', ': ' + _one_line(diagnostic.message))}"]
    labels = ((diagnostic.primary,) if diagnostic.primary else ()) + diagnostic.secondary
    numbers = [label.span.line for label in labels]
    margin = len(str(max(numbers))) if numbers else 1
    if diagnostic.primary:
        lines += _quoted(diagnostic.primary, labels, severity, margin, style)
    footer = _footer(diagnostic, margin, style)
    if footer and diagnostic.primary:
        lines.append(f"{' ' * margin} {style('gutter', '|')}")
    lines += footer
    return "".join(line.rstrip() + "\n" for line in lines)


def calls(frame: Frame | None) -> str | None:
    """The chain of block calls, innermost first: `in unit(width = 64), called at a.net:30:5, in ResNet50`.

    None where no block was called. Of a long chain, the middle is counted instead of told.
    """
    chain = frame.chain() if frame else ()
    if len(chain) < 2:
        return None
    parts = [f"in {_one_line(f.call)}" + (f", called at {printable(str(f.span))}" if f.span else "") for f in chain]
    if len(parts) > FRAMES_SHOWN:
        half = FRAMES_SHOWN // 2
        parts[half:-half] = [f"... {len(parts) - 2 * half} more calls ..."]
    return ", ".join(parts)


def _footer(diagnostic: Diagnostic, margin: int, style: Style) -> list[str]:
    entries = []
    chain = calls(diagnostic.frame)
    if chain:
        entries.append(chain)
    entries += [f"note: {note}" for note in diagnostic.notes]
    if diagnostic.help:
        entries.append(f"help: {diagnostic.help}")
    lead = " " * (margin + 1) + style("gutter", "=") + " "
    lines = []
    for entry in entries:
        first, *rest = [printable(line) for line in entry.split("\n")]
        if first.startswith("help:"):
            first = style("help", "help") + first[4:]
        lines.append(lead + first)
        lines += [" " * (margin + 3) + line for line in rest]
    return lines


def _quoted(primary: Label, labels: Sequence[Label], severity: str, margin: int, style: Style) -> list[str]:
    """`--> file:line:column`, then each labelled line with its carets; other files follow under `:::`."""
    bar = style("gutter", "|")
    empty = f"{' ' * margin} {bar}"
    sources: dict[Source, list[Label]] = {primary.span.source: []}
    for label in labels:
        sources.setdefault(label.span.source, []).append(label)
    lines: list[str] = []
    for source, its in sources.items():
        if lines:
            lines.append(empty)
        arrow = "-->" if source is primary.span.source else ":::"
        place = primary.span if source is primary.span.source else its[0].span
        lines += [f"{' ' * margin}{style('gutter', arrow)} {printable(str(place))}", empty]
        by_line: dict[int, list[Label]] = {}
        for label in sorted(its, key=lambda label: label.span.start):
            by_line.setdefault(label.span.line, []).append(label)
        previous = None
        for number, group in by_line.items():
            if previous is not None and number > previous + 1:
                lines.append(style("gutter", "..."))
            previous = number
            quote, marks = _line(source, number, group)
            lines.append(f"{style('gutter', str(number).rjust(margin))} {bar} {quote}")
            for label, (column, width) in zip(group, marks, strict=True):
                is_primary = label is primary
                caret = ("^" if is_primary else "-") * width + (f" {_one_line(label.text)}" if label.text else "")
                lines.append(f"{empty} {' ' * column}{style(severity if is_primary else 'second', caret)}")
    return lines


def _line(source: Source, number: int, labels: Sequence[Label]) -> tuple[str, list[tuple[int, int]]]:
    """A source line as shown, and for each label the column and the width of its caret in it."""
    text = source.line(number)
    start = labels[0].span.start - labels[0].span.column + 1
    spans = [
        (label.span.start - start, max(min(label.span.end - start, len(text)), label.span.start - start + 1))
        for label in labels
    ]
    first, last = _window(text, spans[0][0], spans[-1][1])
    left = "..." if first else ""
    right = "..." if last < len(text) else ""
    pieces: list[str] = []
    columns = [len(left)]
    for char in text[first:last]:
        piece = " " * (TAB - (columns[-1] - len(left)) % TAB) if char == "\t" else printable(char)
        pieces.append(piece)
        columns.append(columns[-1] + _display_width(piece))

    def column(offset: int) -> int:
        inside = min(max(offset - first, 0), last - first)
        return columns[inside] + max(offset - first - inside, 0)

    marks = []
    for begin, end in spans:
        at = column(begin)
        marks.append((at, max(min(column(end), columns[-1] + 1) - at, 1)))
    return left + "".join(pieces) + right, marks


def _window(text: str, begin: int, end: int) -> tuple[int, int]:
    """The characters of a long line to show: all of a short one, else WIDTH of them around the carets."""
    if len(text) <= WIDTH:
        return 0, len(text)
    room = max(WIDTH - (end - begin), WIDTH // 2)
    first = max(min(begin - room // 2, len(text) - WIDTH), 0)
    return first, min(first + WIDTH, len(text))


def printable(text: str) -> str:
    """The text with control and direction characters written as escapes, so that no input can steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _one_line(text: str) -> str:
    return printable(text.replace("\n", " "))


def _display_width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def end_position(span: Span) -> tuple[int, int]:
    """Line and column just after a span, counted from 1."""
    return span.source.position(max(span.end, span.start))
