"""Two convolutions in one kernel: the second, of one pixel, takes the tile of the first where it lies."""

from __future__ import annotations

from dataclasses import replace

from netdsl.codegen.triton.kernels import Call, ChainKernel
from netdsl.codegen.triton.lowerings.gemm import TMA_TAKEN
from netdsl.codegen.triton.lowerings.spatial import feature_map, pixel_place
from netdsl.codegen.triton.lowerings.tma import BOX, WHERE, maps, tail
from netdsl.codegen.triton.planner import Planner, kernel_stem
from netdsl.codegen.triton.site import Site
from netdsl.codegen.triton.work import Chain, Product
from netdsl.ops.conv import Conv

TAKEN = (*TMA_TAKEN, "w2", "first_bias", "hidden", "sums")
HIDDEN = (64, 128, 256)
"""Columns that both convolutions can have between them: all are in one tile."""
WINDOWS = ("C", "H", "W", "XN", "XH", "XW", "OH", "OW", "YN", "YH", "YW", "KH", "KW", "SH", "PH", "PW", "DH", "DW")


def chain(planner: Planner, first: Site, second: Site) -> None:
    """Put both launches into one, where they are such a pair and the cost model expects a gain."""
    if not (planner.half and isinstance(first.op, Conv) and isinstance(second.op, Conv)):
        return
    (a,) = (step for step in planner.steps if first.result in step.writes)
    b = planner.steps[-1]
    windows, matrix = a.launch.spec, b.launch.spec
    assert isinstance(windows, Call)
    assert isinstance(matrix, Call)
    if (windows.form, matrix.form) != ("convolve", "multiply") or not _alone(planner, first, second):
        return
    if not (windows.twin and matrix.twin):
        return
    assert isinstance(windows.work, Product)
    assert isinstance(matrix.work, Product)
    assert windows.shape
    work = Chain(windows.work, matrix.work)
    if not any(tile for _, table in planner.tiling.chain(work) for _, tile in table):
        return
    result = second.result.type
    place = pixel_place(
        result, row="n", height="oh", width="ow", channel="channel", columns="column_ok", offset="offset"
    )
    hidden = first.finish(planner.body(place, TAKEN), "sums")
    body = planner.body(replace(place, box=BOX), (*TAKEN, *(line.partition(" ")[0] for line in hidden.lines)))
    text = tail(second, body)
    spec = ChainKernel(
        len(first.weights) > 1, len(second.weights) > 1, any(map(WHERE.search, text.lines)), hidden, text
    )
    y = feature_map(result)
    constants = {name: value for name, value in windows.shape.constants if name in WINDOWS}
    constants |= {"OC": y.c, "YN": y.sn, "YH": y.sh, "YW": y.sw, "BC": work.hidden}
    shape = planner.shape(f"{windows.shape.name}, then {y.c}", constants, work)
    call = Call("", matrix.count, work=work, form="chain", shape=shape, maps=maps(body), apart=(windows, matrix))
    stem = kernel_stem("conv", *first.words[1:], "gemm", *second.words[1:], "tma")
    reads = (*a.reads[:2], b.reads[1], *a.reads[2:], *b.reads[2:])
    planner.launch(second, "conv_gemm_tma", stem, spec, reads, call)
    planner.steps[-2:] = [replace(planner.steps[-1], apart=(a, b))]
    planner.steps.remove(a)


def _alone(planner: Planner, first: Site, second: Site) -> bool:
    """Whether the second alone reads the first's result, of which a tile has all channels."""
    assert isinstance(first.op, Conv)
    return (
        first.op.out in HIDDEN
        and first.result not in planner.graph.outputs
        and set(planner.readers[first.result]) == {second.node}
        and second.reads(first.result) == 1
        and all(len(node.inputs) == 1 for node in first.tail)
    )
