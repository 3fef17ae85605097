"""A program: a file and those that it uses. Each file sees its own blocks, then those of the files that it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netdsl import codes
from netdsl.diagnostics import Diagnostic, Label, Report
from netdsl.elaborate.functions import FUNCTIONS
from netdsl.ops import BY_WORD
from netdsl.source import Span
from netdsl.syntax import ast

Namespace = Mapping[str, ast.Definition]


@dataclass(frozen=True, slots=True)
class Program:
    """A parsed file with the files that it uses, by the paths that its `use` lines (and theirs) give."""

    root: ast.File
    used: Mapping[str, ast.File] = field(default_factory=dict)


def nets(program: Program) -> tuple[ast.Definition, ...]:
    """The nets of the root file, in the order of the text."""
    return tuple(item for item in program.root.definitions if item.kind == "net")


def namespaces(program: Program, report: Report) -> dict[ast.Definition, Namespace]:
    """The blocks that each definition sees: those of its own file, then those of the files that it uses."""
    own = {path: _own_blocks(file, report) for path, file in (("", program.root), *program.used.items())}
    result: dict[ast.Definition, Namespace] = {}
    for path, file in (("", program.root), *program.used.items()):
        seen = dict(own[path])
        for use in file.uses:
            for name, block in own.get(use.path.value, {}).items():
                known = seen.setdefault(name, block)
                if known is not block and known not in own[path].values():
                    report.add(_twice(use.path.span, known, f"`{name}` comes from two used files"))
        for definition in file.definitions:
            result[definition] = seen
    return result


def _own_blocks(file: ast.File, report: Report) -> dict[str, ast.Definition]:
    known: dict[str, ast.Definition] = {}
    for item in file.definitions:
        name = item.name.name
        if name in known:
            report.add(_twice(item.name.span, known[name], f"the name `{name}` is defined twice"))
        known.setdefault(name, item)
        if name in BY_WORD or name in FUNCTIONS:
            help = "a file's own names come first; if that is not meant, choose another name"
            message = f"this {item.kind} hides the built-in `{name}`"
            report.add(Diagnostic(codes.HIDES_BUILTIN, message, Label(item.name.span), help=help))
    return {name: item for name, item in known.items() if item.kind == "block"}


def _twice(span: Span, known: ast.Definition, message: str) -> Diagnostic:
    return Diagnostic(
        codes.NAME_SET_TWICE,
        message,
        Label(span, "again here"),
        (Label(known.name.span, "first here"),),
        help="give one of them another name",
    )
