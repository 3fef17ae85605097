"""The Triton backend: a graph as one Python module that needs torch, triton and safetensors, and no netdsl."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from netdsl import codes
from netdsl.analysis.vocabulary import index_limits
from netdsl.codegen.artifact import Artifact, header, init_text, sealed
from netdsl.codegen.names import comment
from netdsl.codegen.plan import Kernel, legend
from netdsl.codegen.render import SHARED, environment
from netdsl.codegen.triton.cost import Estimate, floor, predict, rate
from netdsl.codegen.triton.devices import DEVICES, H200
from netdsl.codegen.triton.expressions import CONSTANT, HELPERS
from netdsl.codegen.triton.float8 import LARGEST, ROOM, scales
from netdsl.codegen.triton.kernels import BodyText, Call
from netdsl.codegen.triton.lowerings.pairs import pair_products
from netdsl.codegen.triton.lowerings.pointwise import copy
from netdsl.codegen.triton.lowerings.pooled import pool_convolutions
from netdsl.codegen.triton.lowerings.table import LOWERINGS, UNSUPPORTED
from netdsl.codegen.triton.parts import with_parts
from netdsl.codegen.triton.planner import Planner
from netdsl.codegen.triton.program import Printer, Program, Result, constants, wrapped
from netdsl.codegen.triton.site import Site, site
from netdsl.codegen.triton.tiling import BATCHES, MOST_PROGRAMS, DefaultTiling, Tiling
from netdsl.codegen.triton.tuned import Tuned
from netdsl.codegen.triton.work import Tile
from netdsl.diagnostics import Diagnostic, Label, NetError
from netdsl.ir.fused import Fused
from netdsl.ir.graph import Graph, Node, Value
from netdsl.ops.noise import Dropout
from netdsl.passes.expand import EXPANSIONS
from netdsl.passes.manager import Observer, run_passes
from netdsl.passes.pipeline import CHANNELS_LAST
from netdsl.tensor import DType, Layout, TensorType, shape_text

PACKAGE = "netdsl.codegen.triton"
KNOWN = frozenset((*LOWERINGS, *EXPANSIONS, *CONSTANT))
"""Operators that it computes: in kernels, by others, or when weights are loaded."""
DTYPES = (DType.FLOAT32, DType.TF32, DType.FLOAT16, DType.BFLOAT16, DType.FLOAT8)
TMA = ("conv_tma", "upconv_tma", "gemm_tma", "conv_gemm_tma", "conv_sum_tma", "conv_pool_tma")
SHARES = frozenset(("convolve", "spread", "multiply", "add_products"))
"""Functions of a module that launch products whose depth several programs can share."""
SHOWN = (1, 32)
"""Samples for which the table at the top of a module shows tiles and predictions."""
PREDICTED = (
    "tile: rows x columns x depth / programs that share the depth. us, limit: microseconds and what limits them, for",
    f"{SHOWN[0]} and {SHOWN[1]} samples on an {H200.name}. A cost model predicts them; none of this was measured.",
)
EIGHT = "float8: tensors that products make for each other, where all that read them can; all else is float16."
TOLERANCE = {DType.FLOAT32: 2e-5, DType.TF32: 2e-3, DType.FLOAT16: 2e-3, DType.BFLOAT16: 1.6e-2, DType.FLOAT8: 0.1}
"""Largest difference over the largest element by which two orders of a layer's sums may differ: a few roundings."""
STORED = {DType.TF32: "float32", DType.FLOAT8: "float16"}
"""PyTorch's name of the element type in memory, where it is another than ours."""


def compile_graph(
    graph: Graph,
    dtype: DType = DType.FLOAT32,
    source_name: str = "net.net",
    init_command: str = "",
    observe: Observer | None = None,
    tiling: Tiling | None = None,
) -> Artifact:
    """One module that computes `graph` in float32, tf32, float16, bfloat16 or float8, accumulating in float32.

    `source_name` is the `.net` file's name, for comments; `init_command` makes weights, for the message where there are
    none (by default `netdsl init` with that name). `observe` sees every stage; `tiling` chooses blocks. Raises NetError
    (E0703, E0704, E0706). Needs neither torch nor triton.
    """
    _check(graph, dtype)
    optimized, remarks = run_passes(graph, CHANNELS_LAST, observe)
    tuned = tiling if isinstance(tiling, Tuned) else None
    if tuned:
        tuned.check_net(graph.name, dtype)
    program = _lower(optimized, dtype, tiling or DefaultTiling())
    if tuned:
        tuned.check_shapes(name for name, _ in program.work)
    init = init_text(init_command, source_name, graph.name)
    source = _render(optimized, program, dtype, source_name, init, tuned.note if tuned else "")
    return Artifact(graph.name, "triton", sealed(source), program.plan, tuple(map(str, remarks)))


def forecast(graph: Graph, dtype: DType, batch: int) -> tuple[float, float]:
    """Predicted microseconds of a pass over so many samples on an H200, and the sum of its layers' limits.

    Nothing of it was measured.
    """
    optimized, _ = run_passes(graph, CHANNELS_LAST, None)
    predicted = limit = 0.0
    for launch in _lower(optimized, dtype, DefaultTiling()).plan.launches:
        call = launch.spec
        assert isinstance(call, Call)
        assert call.work
        predicted += _predict(call, batch)[1].time
        limit += floor(call.work, H200, batch)
    return predicted, limit


def _check(graph: Graph, dtype: DType) -> None:
    """Refuse what this backend cannot do, all of it at once."""
    found = []
    if dtype not in DTYPES:
        listed = ", ".join(known.label for known in DTYPES)
        message = f"the triton backend computes in {listed}, not in {dtype.label}"
        help = "compile with --backend numpy for float64" if dtype is DType.FLOAT64 else None
        found.append(Diagnostic(codes.UNSUPPORTED_DTYPE, message, help=help))
    for node in graph.walk():
        ops = [inner.op for inner in node.op.body.nodes] if isinstance(node.op, Fused) else [node.op]
        for op in ops:
            if type(op) not in KNOWN:
                message = f"the triton backend has no {op.word}: {UNSUPPORTED.get(type(op), 'nobody has written it')}"
                label = Label(node.span) if node.span else None
                found.append(Diagnostic(codes.UNSUPPORTED_OPERATOR, message, label, frame=node.frame))
    if found:
        raise NetError(found)


def _lower(graph: Graph, dtype: DType, tiling: Tiling) -> Program:
    graph, parts = with_parts(graph)
    at_load, at_run = constants(graph)
    known = {parameter.value for parameter in graph.parameters}
    known.update(value for node in at_load for value in node.outputs)
    eight = dtype is DType.FLOAT8
    planner = Planner(graph, DType.FLOAT16 if eight else dtype, tiling, frozenset(known), reserved_names(), parts)
    planner.scales = scales(graph, parts) if eight else {}
    makers: dict[Value, Site] = {}
    for node in (*at_run, *graph.nodes):
        whole = site(node)
        LOWERINGS[type(whole.op)](planner, whole)
        makers.update(dict.fromkeys(whole.results, whole))
    pair_products(planner, makers)
    pool_convolutions(planner, makers)
    made = {value for step in planner.steps for value in step.writes}
    results: dict[Value, Result] = {}
    for name, value in graph.results:
        source = planner.source(value)
        if source not in made or source in results:
            source = _copied(planner, name, value)
        results[source] = Result(name, source, value.type)
    return Printer(planner, at_load, tuple(results.values())).run()


def _copied(planner: Planner, name: str, value: Value) -> Value:
    """A result that is an input, a weight, or another result as well: a tensor of its own."""
    result = Value(f"{name}.result", value.type._replace(layout=Layout.CHANNELS_FIRST))
    node = Node(Dropout(), (value,), (result,), name)
    copy(planner, site(node), value, result)
    return result


class Signature(NamedTuple):
    """An input or output as printed; `stored` is the expression of a tensor in its order of storage."""

    name: str
    identifier: str
    shape: tuple[int, ...]
    rows: int
    element: str
    stored: str


def _signature(name: str, identifier: str, type: TensorType) -> Signature:
    element = "DTYPE" if type.dtype.is_float else f"torch.{type.dtype.label}"
    last = ".movedim(1, -1)" if type.layout is Layout.CHANNELS_LAST else ""
    return Signature(name, identifier, type.shape, type.batch, element, f"{identifier}{last}.contiguous()")


def _render(graph: Graph, program: Program, dtype: DType, source_name: str, init: str, tuned: str) -> str:
    kernels = [_kernel_text(kernel) for kernel in program.plan.kernels]
    return (
        environment(PACKAGE)
        .get_template("module.py.j2")
        .render(
            header=header(graph.name, source_name, "triton", dtype),
            title=f"{comment(graph.name)} on an NVIDIA GPU.",
            table=_table(program),
            legend=[*legend(program.plan.launches), *PREDICTED, *([EIGHT] if dtype is DType.FLOAT8 else [])],
            program=program,
            boxes=any(kernel.template in TMA for kernel in program.plan.kernels),
            shares=bool(program.forms & SHARES),
            batches=BATCHES,
            device=H200.name,
            target=H200.target,
            devices=[(t, (gpu.name, rate(gpu, dtype), gpu.memory)) for t, gpu in DEVICES.items() if dtype in gpu.macs],
            net=graph.name,
            tolerance=TOLERANCE[dtype],
            exact=dtype is DType.FLOAT32,
            eight=dtype is DType.FLOAT8,
            largest=LARGEST,
            room=ROOM,
            label=dtype.label,
            tuned=tuned,
            counts=MOST_PROGRAMS,
            kernels=kernels,
            helpers=_helpers("\n".join(kernels)),
            dtype=STORED.get(dtype, dtype.label),
            limits=index_limits(graph),
            inputs=[_signature(value.name, name, value.type) for name, value in program.inputs],
            outputs=[_signature(result.name, name, result.type) for name, result in program.results],
            weights=[(parameter.value.name, parameter.value.type.shape) for parameter in graph.parameters],
            names=tuple(name for name, _ in program.inputs),
            targets=", ".join(f"y.{name}" for name, _ in program.results) + ("," if len(program.results) == 1 else ""),
            images=any(value.type.rank == 3 and value.type.shape[0] in (1, 3) for value in graph.inputs),
            init=init,
        )
    )


def _kernel_text(kernel: Kernel) -> str:
    template = environment(PACKAGE).get_template(f"{kernel.template}.py.j2")
    body = getattr(kernel.spec, "body", BodyText())
    pointers = wrapped(body.parameters)
    return template.render(name=kernel.name, spec=kernel.spec, tail_pointers=pointers).rstrip("\n")


def _helpers(text: str) -> set[str]:
    """The helper functions that kernels call, and those that these call."""
    read = set(re.findall(r"(?<![\w.])\w+(?=[(,])", text))
    used = {name for name in HELPERS if name in read or f", {name})" in text}
    used |= {"with_next", "maximum"} if "largest_of_rows" in used else set()
    return used | {"maximum", "minimum"} if "clamp" in used else used


@cache
def reserved_names() -> tuple[str, ...]:
    """Every identifier at the top of the module's own templates, and what they import."""
    names: set[str] = set()
    for part in ("module", "helpers", "products", "model", "script", "profile", "tune", "float8", *SHARED):
        loader = environment(PACKAGE).loader
        assert loader is not None
        text = loader.get_source(environment(PACKAGE), f"{part}.py.j2")[0]
        names.update(re.findall(r"^(?:def|class) (\w+)", text, re.MULTILINE))
        names.update(re.findall(r"^(\w+) = ", text, re.MULTILINE))
        for line in re.findall(r"^ *(?:import|from [\w.]+ import) (.*)", text, re.MULTILINE):
            names.update(re.findall(r"\w+", line))
    return tuple(sorted({*names, "a", "batch", "run", "t", "tiles", "w", "x", "y"}))


def _table(program: Program) -> list[str]:
    """The plan for readers: layer, kernel and result, then tile, time and limit for few samples and for more."""
    rows: list[tuple[str, ...]] = [("layer", "kernel", "result", *("tile", "us", "limit") * len(SHOWN))]
    totals = [0.0] * len(SHOWN)
    for launch in program.plan.launches:
        call = launch.spec
        assert isinstance(call, Call)
        assert call.work
        row = [comment(launch.layer), call.twin or launch.kernel, shape_text(launch.type.shape)]
        for place, batch in enumerate(SHOWN):
            text, found = _predict(call, batch)
            totals[place] += found.time
            row += [text, f"{found.time:.1f}", found.limit]
        rows.append(tuple(row))
    if program.plan.launches:
        rows.append(("total", "", "", *(text for total in totals for text in ("", f"{total:.0f}", ""))))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for line in rows:
        cells = [
            f"{text:>{width}}" if rows[0][column] == "us" else f"{text:{width}}"
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _predict(call: Call, batch: int) -> tuple[str, Estimate]:
    """The tile of a launch on an H200, and its time; of a pair without one, the time of its parts."""
    assert call.work
    tile = call.tile(H200.target, batch)
    if call.apart and not tile:
        parts = [_predict(part, batch)[1] for part in call.apart]
        return "apart", Estimate(sum(part.time for part in parts), max(parts, key=lambda part: part.time).limit)
    return _tile_text(tile) if tile else "", predict(call.work, tile, H200, batch)


def _tile_text(tile: Tile) -> str:
    rows = f"({'x'.join(map(str, tile.box))})" if len(tile.box) > 1 else str(tile.m)
    return f"{rows}x{tile.n}x{tile.k}" + (f"/{tile.split}" if tile.split > 1 else "")
