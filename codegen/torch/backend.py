"""The PyTorch backend: a graph as one Python module of plain `nn.Module` classes, and no netdsl.

The graph is printed as it is elaborated, without the rewrites of other backends: layers keep their names and weights,
and the module can be trained. `torch.compile` has passes of its own.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import PurePath

from netdsl import codes
from netdsl.codegen.artifact import Artifact, header, portable, sealed
from netdsl.codegen.printing import Bracket, lines
from netdsl.codegen.render import environment, literal
from netdsl.codegen.torch.classes import Classes
from netdsl.codegen.torch.expressions import LOWERINGS, UNSUPPORTED
from netdsl.diagnostics import Diagnostic, Label, NetError
from netdsl.ir.graph import Graph
from netdsl.passes.manager import Observer, run_passes
from netdsl.tensor import DType

PACKAGE = "netdsl.codegen.torch"
DTYPES = (DType.FLOAT64, DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16)
NEEDS = {"Attention": ("attend",), "add_positions": ("encoding",)}
"""Helpers that call other ones."""


def compile_graph(
    graph: Graph,
    dtype: DType = DType.FLOAT32,
    source_name: str = "net.net",
    init_command: str = "",
    observe: Observer | None = None,
) -> Artifact:
    """One module that computes `graph`, for inference and for training.

    `source_name` is the `.net` file's name, for comments; `init_command` makes weights. Raises NetError (E0703, E0704).
    Needs no torch.
    """
    _check(graph, dtype)
    run_passes(graph, (), observe)
    classes = Classes(graph, reserved_names())
    helpers = [name for helper in classes.helpers for name in (*NEEDS.get(helper, ()), helper)]
    init = portable(init_command) or f"netdsl init {PurePath(source_name).name} --net {graph.name} -o FILE"
    source = (
        environment(PACKAGE)
        .get_template("module.py.j2")
        .render(
            header=header(graph.name, source_name, "torch", dtype),
            name=classes.name,
            dtype=dtype.label,
            init=init,
            classes=classes.texts,
            helpers=[_template(name).rstrip("\n") for name in dict.fromkeys(helpers)],
            inputs="\n".join(
                lines(Bracket("INPUTS = ", tuple(literal(value.name) for value in graph.inputs), True), 0)
            ),
            math="unpool" in helpers,
        )
    )
    return Artifact(graph.name, "torch", sealed(source))


def _check(graph: Graph, dtype: DType) -> None:
    """Refuse what this backend cannot do, all of it at once."""
    found = []
    if dtype not in DTYPES:
        listed = ", ".join(known.label for known in DTYPES)
        found.append(
            Diagnostic(codes.UNSUPPORTED_DTYPE, f"the torch backend computes in {listed}, not in {dtype.label}")
        )
    for node in graph.walk():
        if type(node.op) not in LOWERINGS:
            message = (
                f"the torch backend has no {node.op.word}: {UNSUPPORTED.get(type(node.op), 'only passes make it')}"
            )
            label = Label(node.span) if node.span else None
            found.append(Diagnostic(codes.UNSUPPORTED_OPERATOR, message, label, frame=node.frame))
    if found:
        raise NetError(found)


@cache
def reserved_names() -> tuple[str, ...]:
    """Every identifier at the top of any template, and what they import."""
    names = {"torch", "nn", "F", "np"}
    for template in environment(PACKAGE).list_templates(filter_func=lambda name: name.endswith(".py.j2")):
        text = _template(template.removesuffix(".py.j2"))
        names.update(re.findall(r"^(?:def|class) (\w+)", text, re.MULTILINE))
        names.update(re.findall(r"^(\w+) = ", text, re.MULTILINE))
        names.update(re.findall(r"^import (\w+)$", text, re.MULTILINE))
        names.update(re.findall(r"^from \S+ import (\w+)$", text, re.MULTILINE))
    return tuple(sorted(names))


def _template(name: str) -> str:
    loader = environment(PACKAGE).loader
    assert loader is not None
    return loader.get_source(environment(PACKAGE), f"{name}.py.j2")[0]
