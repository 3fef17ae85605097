"""The NumPy backend: a graph as one Python module that needs numpy and safetensors, and no netdsl."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from netdsl import codes
from netdsl.analysis.vocabulary import index_limits
from netdsl.codegen.artifact import Artifact, header, init_text, sealed
from netdsl.codegen.names import comment
from netdsl.codegen.numpy.channels_last import convolutions_last
from netdsl.codegen.numpy.lowerings import LOWERED
from netdsl.codegen.numpy.planner import Planner
from netdsl.codegen.numpy.program import Program
from netdsl.codegen.numpy.tuned import BLOCKS, Tuned
from netdsl.codegen.plan import legend
from netdsl.codegen.printing import Bracket, definition, dictionary, entry, lines
from netdsl.codegen.render import SHARED, environment, literal
from netdsl.diagnostics import Diagnostic, Label, NetError
from netdsl.ir.graph import Graph, Value
from netdsl.passes.expand import EXPANSIONS
from netdsl.passes.manager import Observer, Pass, run_passes
from netdsl.passes.pipeline import CHANNELS_LAST
from netdsl.tensor import DType, shape_text

PACKAGE = "netdsl.codegen.numpy"
DTYPES = (DType.FLOAT32, DType.FLOAT64)
PARTS = ("module", "threads", "model", "script", "tune", *SHARED)
"""Templates that are parts of every module; all others are kernels."""


def compile_graph(
    graph: Graph,
    dtype: DType = DType.FLOAT32,
    source_name: str = "net.net",
    init_command: str = "",
    observe: Observer | None = None,
    passes: Sequence[Pass] = CHANNELS_LAST,
    tuned: Tuned | None = None,
) -> Artifact:
    """One module that computes `graph` in float32 or float64.

    `source_name` is the `.net` file's name, for comments; `init_command` makes weights, for the message where there are
    none (by default `netdsl init` with that name). `observe` sees every stage of `passes`. `tuned` is what a
    module of this net has measured.

    Raises NetError: E0703, E0704, E0706.
    """
    _check(graph, dtype)
    optimized, remarks = run_passes(graph, passes, observe)
    tuned = tuned or Tuned()
    program = Planner(convolutions_last(optimized), dtype, reserved_names(), tuned).run()
    tuned.check(graph.name, dtype)
    init = init_text(init_command, source_name, graph.name)
    source = _render(optimized, program, dtype, source_name, init)
    return Artifact(graph.name, "numpy", sealed(source), program.plan, tuple(map(str, remarks)))


def _check(graph: Graph, dtype: DType) -> None:
    """Refuse what this backend cannot do, all of it at once."""
    found = []
    if dtype not in DTYPES:
        message = f"the numpy backend computes in float32 or float64, not in {dtype.label}"
        found.append(Diagnostic(codes.UNSUPPORTED_DTYPE, message))
    for node in graph.walk():
        if type(node.op) not in LOWERED and type(node.op) not in EXPANSIONS:
            message = f"the numpy backend has no {node.op.word}"
            label = Label(node.span) if node.span else None
            found.append(Diagnostic(codes.UNSUPPORTED_OPERATOR, message, label, frame=node.frame))
    if found:
        raise NetError(found)


@cache
def kernel_names() -> tuple[str, ...]:
    """The names of all kernels: a template each."""
    names = environment(PACKAGE).list_templates(filter_func=lambda name: name.endswith(".py.j2"))
    return tuple(name.removesuffix(".py.j2") for name in names if name.removesuffix(".py.j2") not in PARTS)


@cache
def _source(name: str) -> str:
    """The text of a template. Those of kernels are printed as they are: they hold no instructions to jinja2."""
    loader = environment(PACKAGE).loader
    assert loader is not None
    return loader.get_source(environment(PACKAGE), f"{name}.py.j2")[0]


@cache
def reserved_names() -> tuple[str, ...]:
    """Every identifier at the top of any template, and the modules that they import."""
    names = set(kernel_names())
    for part in (*PARTS, *kernel_names()):
        text = _source(part)
        names.update(re.findall(r"^(?:def|class) (\w+)", text, re.MULTILINE))
        names.update(re.findall(r"^(\w+) = ", text, re.MULTILINE))
        names.update(re.findall(r"^(?:import|from \w+ import) (.*)", text, re.MULTILINE))
    return tuple(sorted(name for line in names for name in re.findall(r"\w+", line)))


def with_helpers(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The texts of kernels, by name, each followed by those that it calls and that are not there yet."""
    texts: dict[str, str] = {}

    def add(name: str) -> None:
        if name in texts:
            return
        texts[name] = _source(name)
        for word in re.findall(r"\b\w+(?=\()", texts[name]):
            if word in kernel_names():
                add(word)

    for name in names:
        add(name)
    return tuple(texts.items())


def _render(graph: Graph, program: Program, dtype: DType, source_name: str, init: str) -> str:
    images = any(value.type.rank == 3 and value.type.shape[0] in (1, 3) for value in graph.inputs)
    template = environment(PACKAGE).get_template("module.py.j2")
    names = tuple(name for name, _ in program.inputs)
    return template.render(
        header=header(graph.name, source_name, "numpy", dtype),
        table=_table(program),
        legend=legend(program.plan.launches),
        program=program,
        kernels=[text.rstrip("\n") for _, text in with_helpers(program.kernels)],
        settings=[dictionary(name, items) for name, items in program.settings],
        recipes=[(definition(recipe.name, recipe.parameters), recipe.body) for recipe in program.recipes],
        tails=[(definition(tail.name, ("y", *tail.parameters)), tail.body) for tail in program.tails],
        dtype=dtype.label,
        limits=index_limits(graph),
        inputs=[entry(name, (literal(value.type.shape), _element(value))) for name, value in program.inputs],
        outputs=[entry(name, (literal(value.type.shape), _element(value))) for name, value in graph.results],
        weights=[entry(p.value.name, tuple(map(str, p.value.type.shape))) for p in graph.parameters],
        forward=definition("forward", ("w", "b")),
        call=definition("__call__", ("self", *names), indent=4),
        given="\n".join(lines(Bracket("inputs = ", names, is_tuple=True), 8)),
        given_places="\n".join(lines(Bracket("self.inputs = ", program.places, is_tuple=True), 8)),
        results="\n".join(lines(Bracket("return ", program.results, is_tuple=True), 4)),
        images=images,
        several=len(graph.results) > 1,
        net=graph.name,
        tunable=tuple(name for name in BLOCKS if name in program.kernels),
        init=init,
    )


def _element(value: Value) -> str:
    return "DTYPE" if value.type.dtype.is_float else f"np.{value.type.dtype.label}"


def _table(program: Program) -> list[str]:
    """The plan for readers: layer, kernel and result, in columns."""
    rows = [("layer", "kernel", "result", "line")]
    rows += [(comment(x.layer), x.kernel, shape_text(x.type.shape), x.place) for x in program.plan.launches]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        "  ".join(f"{text:{width}}" for text, width in zip(row, (*widths, 0), strict=True)).rstrip() for row in rows
    ]
