"""The way of the data on one screen: a `.net` file -> syntax tree -> graph -> module."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from netdsl import codes, files
from netdsl.analysis.alignment import shifted_branches
from netdsl.analysis.lint import lint
from netdsl.diagnostics import Code, Diagnostic, Label, NetError, Report
from netdsl.elaborate import Options, Program, elaborate, nets
from netdsl.ir.graph import Graph
from netdsl.limits import DEFAULT_LIMITS, Limits
from netdsl.suggest import nearest
from netdsl.syntax import ast
from netdsl.syntax.parse import parse
from netdsl.syntax.text import decode

STANDARD_LIBRARY = os.path.join(os.path.dirname(__file__), "std")


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asks of a file: which net, with which parameters and input shapes, for training or for inference,
    within which limits."""

    file: str
    net: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    training: bool = False
    limits: Limits = DEFAULT_LIMITS


def build(request: Request, report: Report) -> Graph:
    """From a file to the graph of one net. Warnings stay in `report`; raises NetError with every mistake found."""
    program = read_program(request.file, report, request.limits)
    return elaborate_net(program, choose_net(program, request), request, report)


def check(file: str, report: Report, limits: Limits = DEFAULT_LIMITS, training: bool = False) -> None:
    """Find the mistakes of a file in all of its nets that can be built without further settings."""
    program = read_program(file, report, limits)
    for net in nets(program):
        if all(parameter.default for parameter in net.parameters):
            graph = elaborate(program, net, Options(training=training, limits=limits), report)
            if graph:
                warn(graph, report)
    report.raise_if_errors()


def elaborate_net(program: Program, net: ast.Definition, request: Request, report: Report) -> Graph:
    """Expand one net; what `request` names must exist in it."""
    _check_settings(net, request)
    options = Options(request.settings, request.shapes, request.training, request.limits)
    graph = elaborate(program, net, options, report)
    report.raise_if_errors()
    assert graph is not None
    warn(graph, report)
    return graph


def warn(graph: Graph, report: Report) -> None:
    """Add what is legal in a whole network, but probably not meant."""
    for diagnostic in (*lint(graph), *shifted_branches(graph)):
        report.add(diagnostic)


def choose_net(program: Program, request: Request) -> ast.Definition:
    """The net that was asked for, or the only one. Raises NetError (E0611, E0612) with the names there are."""
    known = {net.name.name: net for net in nets(program)}
    if not known:
        raise files.refuse(codes.NO_NET, f"{_called(request.file)} holds no net, only blocks")
    if request.net is None and len(known) == 1:
        return next(iter(known.values()))
    if request.net in known:
        return known[request.net]
    listed = ", ".join(known)
    if request.net is None:
        message = f"{_called(request.file)} holds {len(known)} nets: {listed}"
        raise files.refuse(codes.WHICH_NET, message, "choose one: `--net NAME`")
    near = nearest(request.net, known)
    message = f"{_called(request.file)} holds no net {request.net}, only: {listed}"
    raise files.refuse(codes.WHICH_NET, message, f"did you mean `{near}`?" if near else None)


def read_program(file: str, report: Report, limits: Limits) -> Program:
    """Read and parse a file and all that it uses. Raises NetError with every mistake of every file."""
    _refuse_others(file)
    root = _parse(file, _called(file), report, limits)
    used: dict[str, ast.File] = {}
    folder = os.path.dirname(file) if file != files.STDIN else ""
    waiting = list(root.uses) if root else []
    while waiting:
        use = waiting.pop(0)
        path = use.path.value
        if path in used:
            continue
        if len(used) == limits.used_files:
            _complain(report, use, codes.TOO_MANY_FILES, f"more than {limits.used_files} files are used")
            break
        tree = _read_used(folder, use, report, limits)
        if tree:
            used[path] = tree
            waiting += tree.uses
    report.raise_if_errors()
    assert root is not None
    return Program(root, used)


def _refuse_others(file: str) -> None:
    """Refuse models and weights, which other commands and options take, by the endings of their names."""
    ending = os.path.splitext(file)[1].lower()
    model, weights = ending in (".onnx", ".pt2"), ending in (".safetensors", ".pth", ".pt")
    if (model or weights) and os.path.isfile(file):
        help = (
            f"`netdsl import {file} -o OUT.net` makes a program of it"
            if model
            else "name the program that they are for"
        )
        what = "a model of another library" if model else "weights"
        raise files.refuse(codes.CANNOT_READ, f"cannot read {file}: it holds {what}, and no program", help)


def _called(file: str) -> str:
    return "<stdin>" if file == files.STDIN else file


def _parse(file: str, name: str, report: Report, limits: Limits, use: Label | None = None) -> ast.File | None:
    source = decode(files.read(file, limits.file_bytes), name, report, limits, use)
    return parse(source, report, limits) if source else None


def _read_used(folder: str, use: ast.Use, report: Report, limits: Limits) -> ast.File | None:
    """A used file: from the standard library, or from inside the folder of the root file, links resolved first."""
    path = use.path.value
    standard = path.startswith("std/")
    root = os.path.realpath(STANDARD_LIBRARY if standard else folder or ".")
    try:
        target = os.path.realpath(os.path.join(root, path.removeprefix("std/") if standard else path))
        inside = os.path.commonpath((root, target)) == root
    except ValueError:
        inside = False
    if not inside or os.path.isabs(path):
        message = "a used file lies in the folder of the root file, or under it"
        _complain(report, use, codes.USE_OUTSIDE, message, f"`{path}` leads out of it")
        return None
    if not os.path.isfile(target):
        beside = _beside(root, target, standard)
        near = nearest(path, beside)
        where = "the standard library" if standard else "the folder of the root file"
        help = f'did you mean `use "{near}"`?' if near else f"there are {', '.join(beside[:10])}" if beside else None
        _complain(report, use, codes.USE_NOT_FOUND, f"there is no file {path} in {where}", help=help)
        return None
    name = path if standard else os.path.join(folder, path)
    return _parse(target, name, report, limits, Label(use.path.span))


def _beside(root: str, target: str, standard: bool) -> list[str]:
    """The `.net` files next to a missing one, as a text would name them; none of what lies outside the root."""
    folder = os.path.dirname(target)
    if os.path.commonpath((root, folder)) != root or os.path.lexists(target):
        return []
    prefix = ("std/" if standard else "") + os.path.relpath(folder, root).replace(os.sep, "/").strip(".") + "/"
    prefix = prefix.replace("//", "/").removeprefix("/")
    return (
        [prefix + name for name in sorted(os.listdir(folder)) if name.endswith(".net")] if os.path.isdir(folder) else []
    )


def _complain(report: Report, use: ast.Use, code: Code, message: str, label: str = "", help: str | None = None) -> None:
    report.add(Diagnostic(code, message, Label(use.path.span, label), help=help))


def _check_settings(net: ast.Definition, request: Request) -> None:
    """Refuse `--set` of a parameter, or `--shape` of an input, that the net does not have.

    The shapes of a family's members follow from parameters.
    """
    parameters = [parameter.name.name for parameter in net.parameters]
    targets = [statement.target for statement in net.body.statements if isinstance(statement, ast.Input)]
    inputs = [target.name for target in targets if not target.keys]
    found = []
    for what, code, given, known in (
        ("parameter", codes.UNKNOWN_PARAMETER, request.settings, parameters),
        ("input", codes.UNKNOWN_INPUT, request.shapes, inputs),
    ):
        for name in given:
            if name not in known:
                near = nearest(name, known)
                have = f"it has {', '.join(known)}" if known else "it has none"
                message = f"net {net.name.name} has no {what} {name}; {have}"
                found.append(Diagnostic(code, message, help=f"did you mean `{near}`?" if near else None))
    if found:
        raise NetError(found)
