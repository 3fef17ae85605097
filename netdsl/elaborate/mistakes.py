"""Mistakes on their way from where they are found to where they are reported."""

from __future__ import annotations

from netdsl.diagnostics import Code, Diagnostic, Frame, Label
from netdsl.source import Span


class Mistake(Exception):
    """A mistake of the program at a place. The statement in which it happens reports it and goes on."""

    def __init__(
        self,
        code: Code,
        message: str,
        span: Span,
        label: str = "",
        *,
        secondary: tuple[Label, ...] = (),
        notes: tuple[str, ...] = (),
        help: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.label = Label(span, label)
        self.secondary = secondary
        self.notes = notes
        self.help = help

    def diagnostic(self, frame: Frame | None) -> Diagnostic:
        """The mistake as a diagnostic, found inside these block calls."""
        return Diagnostic(self.code, self.message, self.label, self.secondary, self.notes, self.help, frame)


class LimitMet(Exception):
    """A stated limit ends the elaboration at once; its diagnostic is already in the report."""
