"""Diagnostics are values: a code, a sentence, places, and at most one help that mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from netdsl.source import Span


class Severity(Enum):
    """How much a diagnostic matters; errors come first and stop the compiler."""

    ERROR = "error"
    WARNING = "warning"


class Code(str):
    """A stable code such as `E0302`; its page is `netdsl/pages/E0302.md`, shown by `netdsl explain E0302`.

    E01 text and syntax, E02 names and arguments, E03 shapes, E04 expansion and values, E05 weights, E06 files and
    inputs, E07 backends, E08 models of other formats, E09 stated limits, W0 warnings.
    """

    __slots__ = ()

    @property
    def severity(self) -> Severity:
        """Error or warning, by the first letter."""
        return Severity.WARNING if self[0] == "W" else Severity.ERROR

    @property
    def is_limit(self) -> bool:
        """Whether it reports a stated limit (exit status 3)."""
        return self.startswith("E09")


@dataclass(frozen=True, slots=True)
class Label:
    """A place and what is to be said under its caret."""

    span: Span
    text: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """One call of a block on the way to a place: `bottleneck(width = 64)`, called at `span`, inside `parent`.

    The outermost frame is the net itself and has no span.
    """

    call: str
    span: Span | None = None
    parent: Frame | None = None

    def chain(self) -> tuple[Frame, ...]:
        """This frame and those around it, innermost first."""
        frames: list[Frame] = []
        frame: Frame | None = self
        while frame is not None:
            frames.append(frame)
            frame = frame.parent
        return tuple(frames)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One message. `primary` is None only where no source text exists (a weight file, a command line)."""

    code: Code
    message: str
    primary: Label | None = None
    secondary: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: str | None = None
    frame: Frame | None = None

    @property
    def severity(self) -> Severity:
        """Error or warning."""
        return self.code.severity


class NetError(Exception):
    """The only exception that a user's mistake can cause. `diagnostics` holds every error and warning found."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(f"{d.severity.value}[{d.code}]: {d.message}" for d in self.diagnostics))

    def __reduce__(self) -> tuple[type[NetError], tuple[tuple[Diagnostic, ...]]]:
        """Made anew from its diagnostics, so that it passes between processes."""
        return NetError, (self.diagnostics,)

    @property
    def is_limit(self) -> bool:
        """Whether a stated limit was met, which has an exit status of its own."""
        return any(d.code.is_limit for d in self.diagnostics)


class Report:
    """Collects the diagnostics of one run, so that a stage can go on after a mistake. Equal messages count once."""

    def __init__(self) -> None:
        self._diagnostics: dict[tuple[str, str, Span | None], Diagnostic] = {}

    def add(self, diagnostic: Diagnostic) -> None:
        """Take a diagnostic; one that says the same at the same place is dropped (a block expanded many times)."""
        place = diagnostic.primary.span if diagnostic.primary else None
        self._diagnostics.setdefault((diagnostic.code, diagnostic.message, place), diagnostic)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Errors first, then warnings, each in the order of the text."""

        def order(diagnostic: Diagnostic) -> tuple[bool, str, int]:
            span = diagnostic.primary.span if diagnostic.primary else None
            severity = diagnostic.severity is Severity.WARNING
            return (severity, span.source.name, span.start) if span else (severity, "", -1)

        return tuple(sorted(self._diagnostics.values(), key=order))

    @property
    def has_errors(self) -> bool:
        """Whether anything collected is an error."""
        return any(d.severity is Severity.ERROR for d in self._diagnostics.values())

    def raise_if_errors(self) -> None:
        """Raise one `NetError` with everything collected, if any of it is an error."""
        if self.has_errors:
            raise NetError(self.diagnostics)
