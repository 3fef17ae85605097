"""A quick look over a text before it is parsed: strange characters, comments, long names, what is not closed.

Linear in the length of the text, whatever it holds, so that hostile texts are refused before any work is done on them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from netdsl import codes
from netdsl.diagnostics import Code, Diagnostic, Label, Report
from netdsl.limits import Limits
from netdsl.source import Source, Span
from netdsl.syntax import chars

_CLOSES = {")": "(", "]": "[", "}": "{"}
_NEAR = 200  # a brace further from the start of its line tells nothing by its margin
_PIECES = re.compile(
    r"""
    (?P<comment> \#[^\n]* )
  | (?P<string> "(?:[^"\\\n]|\\[^\n])*+ (?P<close>")? )
  | (?P<open> [(\[{] )
  | (?P<shut> [)\]}] )
  | (?P<top> ^(?:net|block)(?![A-Za-z0-9_]) )
  | (?P<word> (?<![A-Za-z0-9_])[A-Za-z_][A-Za-z0-9_]{30,} )
  | (?P<strange> [^\n\t\r\x20-\x7e] )
    """,
    re.VERBOSE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a look over a text found.

    text     what to parse: strange characters replaced, no place moved.
    sound    from here on brackets do not match, and what a parser would say is noise.
    clean    nothing was reported.
    refused  a limit was met: do not parse at all.
    """

    text: str
    comments: tuple[Span, ...]
    sound: int
    clean: bool
    refused: bool


def scan(source: Source, report: Report, limits: Limits) -> Scan:
    """Report what is wrong with the characters, the strings and the brackets of a text."""
    return _Scanner(source, report, limits).run()


class _Scanner:
    def __init__(self, source: Source, report: Report, limits: Limits) -> None:
        self._source = source
        self._text = source.text
        self._report = report
        self._limits = limits
        self._open: list[int] = []
        self._suspect: int | None = None
        self._sound: int | None = None
        self._strange: dict[str, list[int]] = {}
        self._room = limits.errors_shown

    def run(self) -> Scan:
        comments: list[Span] = []
        refused = False
        for piece in _PIECES.finditer(self._text):
            kind, start, end = piece.lastgroup, piece.start(), piece.end()
            if kind == "comment":
                comments.append(Span(self._source, start, end))
            elif kind == "string":
                if piece["close"] is None:
                    self._unclosed_string(start, end)
            elif kind == "open":
                self._open.append(start)
                if len(self._open) > self._limits.nesting:
                    message = f"brackets nest more than {self._limits.nesting} deep, which is the limit"
                    self._refuse(codes.NESTING_TOO_DEEP, message, start, end)
                    refused = True
                    break
            elif kind == "shut":
                self._shut(start)
            elif kind == "top":
                if self._open and self._sound is None:
                    self._unclosed(self._text[start:end].strip())
                self._open.clear()
                self._suspect = None
            elif kind == "word":
                if end - start > self._limits.name_length:
                    message = f"this name has {end - start} characters; the limit is {self._limits.name_length}"
                    self._refuse(codes.NAME_TOO_LONG, message, start, min(end, start + 20))
                    refused = True
            elif kind == "strange":
                self._strange.setdefault(self._text[start], []).append(start)
        if self._open and self._sound is None and not refused:
            self._unclosed(None)
        text = self._text
        if self._strange:
            self._report_strange()
            text = text.translate({ord(c): chars.plain(c) for c in self._strange})
        clean = self._room == self._limits.errors_shown
        return Scan(text, tuple(comments), len(text) + 1 if self._sound is None else self._sound, clean, refused)

    def _refuse(
        self,
        code: Code,
        message: str,
        start: int,
        end: int,
        help: str | None = None,
        secondary: tuple[Label, ...] = (),
    ) -> None:
        if self._room > 0:
            self._report.add(Diagnostic(code, message, Label(Span(self._source, start, end)), secondary, help=help))
        self._room -= 1

    def _unclosed_string(self, start: int, end: int) -> None:
        message = 'this text has no closing `"` on its line'
        self._refuse(codes.BAD_STRING, message, start, end, help="a text in quotes ends on the line where it begins")
        self._cut(start)

    def _shut(self, at: int) -> None:
        if self._sound is not None:
            return
        character = self._text[at]
        if not self._open:
            self._refuse(codes.UNCLOSED, f"nothing is open that this `{character}` could close", at, at + 1)
            self._cut(at)
            return
        opening = self._open[-1]
        if self._text[opening] != _CLOSES[character]:
            self._refuse(
                codes.UNCLOSED,
                f"`{self._text[opening]}` is not closed",
                opening,
                opening + 1,
                secondary=(Label(Span(self._source, at, at + 1), f"`{character}` comes first"),),
            )
            self._cut(opening)
            return
        self._open.pop()
        if character == "}" and self._suspect is None:
            margin, expected = self._margin(at, first=True), self._margin(opening)
            if margin is not None and expected is not None and margin != expected:
                self._suspect = opening

    def _margin(self, at: int, first: bool = False) -> str | None:
        """The blanks at the start of a line. None where it starts far away, and where `first` asks that nothing else
        stands before, but something does.
        """
        start = self._text.rfind("\n", max(0, at - _NEAR), at) + 1
        if start == 0 and at > _NEAR:
            return None
        before = self._text[start:at]
        blanks = before[: len(before) - len(before.lstrip())]
        return None if first and blanks != before else blanks

    def _unclosed(self, before: str | None) -> None:
        """Of the braces that are open, blame the first whose closing brace stood at another margin than its line."""
        opening = self._open[-1] if self._suspect is None else self._suspect
        where = f"before the next `{before}`" if before else "before the text ends"
        character = self._text[opening]
        message = f"this `{character}` is not closed {where}"
        help = "the braces within it do not line up with their lines" if self._suspect is not None else None
        self._refuse(codes.UNCLOSED, message, opening, opening + 1, help=help)
        self._cut(opening)

    def _cut(self, at: int) -> None:
        self._sound = at if self._sound is None else min(self._sound, at)

    def _report_strange(self) -> None:
        told: set[int] = set()
        for character, places in self._strange.items():
            # One message a word, however many of its letters are foreign.
            word = self._word_start(places[0])
            if word in told:
                continue
            told.add(word)
            what, help = chars.describe(character)
            again = f"; here and in {len(places) - 1} more places" if len(places) > 1 else ""
            message = f"{what} has no meaning here{again}"
            self._refuse(codes.STRANGE_CHARACTER, message, places[0], places[0] + 1, help=help)

    def _word_start(self, at: int) -> int:
        start = at
        while start > max(0, at - _NEAR) and (self._text[start - 1].isalnum() or self._text[start - 1] == "_"):
            start -= 1
        return start
