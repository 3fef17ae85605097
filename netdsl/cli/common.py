"""What the commands share: their options, their messages, their exit status."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from typing import IO, Any, NoReturn

from netdsl import codes, render
from netdsl.cli.main import DONE, LIMIT_MET, WRONG_COMMAND, WRONG_INPUT
from netdsl.diagnostics import Diagnostic, NetError, Report, Severity
from netdsl.driver import Request
from netdsl.files import refuse
from netdsl.limits import DEFAULT_LIMITS, Limits
from netdsl.source import Source
from netdsl.suggest import nearest
from netdsl.syntax.parse import parse_expression

__all__ = [
    "DONE",
    "WRONG_INPUT",
    "Parser",
    "colours",
    "init_command",
    "limits_of",
    "pairs",
    "program",
    "request_of",
    "run",
    "say",
    "show",
    "stored",
    "take",
    "whole",
]

COMMAND_LINE = frozenset(
    {
        codes.WHICH_NET,
        codes.WOULD_OVERWRITE,
        codes.UNKNOWN_PARAMETER,
        codes.UNKNOWN_INPUT,
        codes.BAD_OPTION,
        codes.UNKNOWN_BACKEND,
        codes.MISSING_EXTRA,
        codes.UNSUPPORTED_DTYPE,
    }
)
"""Errors that another command line mends: exit status 2."""

LARGEST_LIMIT = 10**18 - 1

_FORMS = ("full", "concise", "json", "github", "sarif")


class Parser(argparse.ArgumentParser):
    """An argument parser that takes no abbreviations and knows what a misspelt option was meant to be."""

    def __init__(self, command: str, description: str) -> None:
        super().__init__(prog=f"netdsl {command}", description=description, allow_abbrev=False)
        self.add_argument("--diagnostics", choices=_FORMS, default="full", help="the form of messages")
        self.add_argument("--limit", action="append", default=[], metavar="NAME=VALUE", help="raise a stated limit")

    def add_training(self) -> None:
        """Whether `training` is true."""
        self.add_argument("--training", action="store_true", help="the net as it is trained: `training` is true")

    def add_file(self) -> None:
        """The file and what is asked of it: net, parameters, input shapes."""
        self.add_argument("file", metavar="FILE", help="a .net file, or - for standard input")
        self.add_argument("--net", help="which net of the file")
        self.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the net")
        self.add_argument("--shape", action="append", default=[], metavar="INPUT=CxHxW", help="the shape of an input")
        self.add_training()

    def parse(self, arguments: list[str]) -> argparse.Namespace:
        """The options. Exits with status 2 and a suggestion where they are wrong."""
        options, unknown = self.parse_known_args(arguments)
        if unknown:
            word = unknown[0].split("=")[0]
            near = nearest(word, self._option_string_actions) if word.startswith("-") else None
            self.error(f"unknown argument {unknown[0][:100]}" + (f"; did you mean `{near}`?" if near else ""))
        return options

    def error(self, message: str) -> NoReturn:
        """One line on what is wrong, one on how it is written."""
        usage = " ".join(self.format_usage().split())
        sys.stderr.write(f"{self.prog}: {render.printable(message)}\n{usage}\n")
        sys.exit(WRONG_COMMAND)


def request_of(options: argparse.Namespace) -> Request:
    """What `--net`, `--set`, `--shape` and `--limit` ask of the file. Raises NetError (E0615)."""
    settings: dict[str, object] = {name: _value(name, text) for name, text in pairs("--set", options.set).items()}
    return Request(options.file, options.net, settings, shapes_of(options), options.training, limits_of(options))


def init_command(options: argparse.Namespace, weights: str) -> str:
    """What to type to make weights for the net that these options choose."""
    words = ["netdsl", "init", options.file, *(("--net", options.net) if options.net else ())]
    for option, values in (("--set", options.set), ("--shape", options.shape)):
        for value in values:
            words += [option, value]
    return shlex.join([*words, *(("--training",) if options.training else ()), "-o", weights])


def shapes_of(options: argparse.Namespace) -> dict[str, tuple[int, ...]]:
    """What `--shape` says of inputs. Raises NetError (E0615)."""
    return {name: _shape(name, text) for name, text in pairs("--shape", options.shape).items()}


def limits_of(options: argparse.Namespace) -> Limits:
    """The limits with what `--limit` changes. Raises NetError (E0615)."""
    limits = DEFAULT_LIMITS
    known = [item.name for item in fields(Limits)]
    for name, text in pairs("--limit", options.limit).items():
        if name not in known:
            near = nearest(name, known)
            help = f"did you mean `{near}`?" if near else None
            raise refuse(codes.BAD_OPTION, f"--limit: there is no limit {name}, only {', '.join(known)}", help)
        limits = replace(limits, **{name: whole(f"--limit {name}", text, 0, LARGEST_LIMIT)})
    return limits


def whole(option: str, text: str, least: int, most: int) -> int:
    """The whole number that an option gives, within bounds. Raises NetError (E0615)."""
    number = int(text) if re.fullmatch(r"[0-9]{1,1000}", text) else -1
    if not least <= number <= most:
        shown = text if len(text) <= 50 else text[:50] + "..."
        raise refuse(codes.BAD_OPTION, f"{option}: {shown} is no whole number from {least} to {most}")
    return number


def stored(tensors: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """Weights in the precision that `--dtype` asks for. Raises NetError (E0703)."""
    if dtype not in ("float32", "float16"):
        raise refuse(codes.UNSUPPORTED_DTYPE, f"weights are written in float32 or float16, not in {dtype[:50]}")
    return {name: tensor.astype(dtype, copy=False) for name, tensor in tensors.items()}


def run(options: argparse.Namespace, work: Callable[[Report], int], *, data: bool = True) -> int:
    """Do the work of a command; show what it reported; return the exit status.

    `data` says that standard output carries the command's result, so that on success JSON and SARIF messages leave it
    alone and go to standard error.
    """
    report = Report()
    try:
        status = work(report)
    except NetError as error:
        take(report, error.diagnostics)
        status = _status(error)
    show(options, report.diagnostics, sys.stderr if data and status == DONE else sys.stdout)
    return status


def take(report: Report, diagnostics: Iterable[Diagnostic]) -> None:
    """Add diagnostics to a report."""
    for diagnostic in diagnostics:
        report.add(diagnostic)


def _status(error: NetError) -> int:
    if error.is_limit:
        return LIMIT_MET
    errors = [d for d in error.diagnostics if d.severity is Severity.ERROR]
    return WRONG_COMMAND if any(d.code in COMMAND_LINE for d in errors) else WRONG_INPUT


def show(options: argparse.Namespace, diagnostics: Iterable[Diagnostic], document: IO[str]) -> None:
    """Write messages in the form that was chosen: text to standard error, a whole document to `document`."""
    found = tuple(diagnostics)
    form = options.diagnostics
    try:
        limit = limits_of(options).errors_shown
    except NetError:
        limit = DEFAULT_LIMITS.errors_shown
    if form in ("full", "concise"):
        style = render.Style(colours(sys.stderr))
        sys.stderr.write((render.full if form == "full" else render.concise)(found, style, limit))
        return
    from netdsl import render_data

    if form == "github":
        sys.stderr.write(render_data.github(found, limit))
    elif found or document is sys.stdout:
        document.write((render_data.as_json if form == "json" else render_data.sarif)(found, limit))


def colours(stream: IO[str]) -> bool:
    """Whether to colour: on a terminal that can, unless NO_COLOR is set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(text: str, end: str = "\n") -> None:
    """A message to the user, on standard error."""
    sys.stderr.write(text + end)


def program(name: str) -> str:
    """`python` or `netdsl` of the environment that runs this, as one would type it here: its path, where another one,
    or none, answers to the bare name."""
    from shutil import which

    folder = os.path.dirname(os.path.abspath(sys.executable))
    found, own = which(name), which(name, path=folder)
    if own is None or (found and os.path.dirname(os.path.abspath(found)) == folder):
        return name
    return shlex.quote(own.removeprefix(os.getcwd() + os.sep))


def pairs(option: str, texts: list[str]) -> dict[str, str]:
    """What an option that takes NAME=VALUE says, each name once. Raises NetError (E0615)."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise refuse(codes.BAD_OPTION, f"{option} takes NAME=VALUE, not {text[:100]}")
        if name in found:
            raise refuse(codes.BAD_OPTION, f"{option} gives {name} twice")
        found[name] = value
    return found


def _shape(name: str, text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[0-9]{1,18}(x[0-9]{1,18}){0,31}", text):
        help = "write extents with the letter x between them: `3x224x224`"
        raise refuse(codes.BAD_OPTION, f"--shape {name}: {text[:100]} is no shape", help)
    return tuple(int(extent) for extent in text.split("x"))


def _value(name: str, text: str) -> object:
    """A parameter's value, read as a `.net` text writes it: a number, a list, a string, a block, an operator's word."""
    report = Report()
    value = parse_expression(Source(f"--set {name}", text), report)
    if value is None:
        why = report.diagnostics[0].message if report.diagnostics else "nothing is there"
        raise refuse(codes.BAD_OPTION, f"--set {name}: {text[:50]} is no value: {why}")
    return value
