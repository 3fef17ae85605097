"""The backends by name. Each is loaded only when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netdsl import codes, extras
from netdsl.diagnostics import Code, Diagnostic, NetError
from netdsl.ir.graph import Graph
from netdsl.suggest import nearest
from netdsl.tensor import COMPUTE_DTYPES, DType

if TYPE_CHECKING:
    from netdsl.codegen.artifact import Artifact
    from netdsl.passes.manager import Observer

BACKENDS = {
    "numpy": "netdsl.codegen.numpy.backend",
    "triton": "netdsl.codegen.triton.backend",
    "torch": "netdsl.codegen.torch.backend",
}
"""The module of each backend: `compile_graph(graph, dtype, source_name=, init_command=, observe=)`."""


def dtype_named(name: str) -> DType:
    """The element type of a name. Raises NetError (E0703) with the list."""
    known = {dtype.label: dtype for dtype in COMPUTE_DTYPES}
    if name not in known:
        near = nearest(name, known)
        message = f"there is no dtype {name}, only {', '.join(known)}"
        raise _refuse(codes.UNSUPPORTED_DTYPE, message, f"did you mean `{near}`?" if near else None)
    return known[name]


TUNABLE = {"numpy": "tuned", "triton": "tiling"}
"""Backends whose modules can tune themselves, with the option of theirs that takes what was found."""


def load(name: str) -> Any:
    """The module of a backend. Raises NetError where there is none (E0701) or a library is missing (E0702)."""
    if name not in BACKENDS:
        near = nearest(name, BACKENDS)
        message = f"there is no backend {name}, only {', '.join(BACKENDS)}"
        raise _refuse(codes.UNKNOWN_BACKEND, message, f"did you mean `{near}`?" if near else None)
    return extras.load(BACKENDS[name], f"backend {name}")


def generate(
    graph: Graph,
    backend: str,
    dtype: str,
    init_command: str = "",
    observe: Observer | None = None,
    tuned: str | None = None,
) -> Artifact:
    """The module of a graph. Raises NetError where the backend lacks the dtype (E0703) or an operator (E0704).

    `init_command` is what the module tells those to type who have no weights; `observe` sees the graph after each pass.
    `tuned` is a file of what a module has measured with `--tune` (E0705, E0706; E0615 with the backend torch).
    """
    module, element = load(backend), dtype_named(dtype)
    options = {}
    if tuned is not None:
        if backend not in TUNABLE:
            raise _refuse(codes.BAD_OPTION, f"there is nothing to tune in modules of the backend {backend}", None)
        options[TUNABLE[backend]] = extras.load(f"netdsl.codegen.{backend}.tuned", f"backend {backend}").read(tuned)
    source_name = graph.span.source.name if graph.span else f"{graph.name}.net"
    artifact: Artifact = module.compile_graph(
        graph, element, source_name=source_name, init_command=init_command, observe=observe, **options
    )
    return artifact


def _refuse(code: Code, message: str, help: str | None) -> NetError:
    return NetError([Diagnostic(code, message, help=help)])
