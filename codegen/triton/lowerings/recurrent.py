"""Recurrent layers: a launch for every step, which waits for the one before by the order of the stream."""

from __future__ import annotations

from netdsl.codegen.triton.index import row_stride
from netdsl.codegen.triton.kernels import Call, RecurrenceKernel
from netdsl.codegen.triton.lowerings.gemm import matrix_width
from netdsl.codegen.triton.lowerings.spatial import times
from netdsl.codegen.triton.planner import Packed, Planner, kernel_stem
from netdsl.codegen.triton.site import Site
from netdsl.codegen.triton.tiling import power_above
from netdsl.ops.recurrent import Recurrence

ROWS, WIDEST = 16, 32
"""Rows and most columns of a tile, which has a sum for each gate: more would not fit the registers."""


def recurrence(planner: Planner, site: Site) -> None:
    """A product with the h before, for all gates of a tile of features, and what the cell does with them."""
    op = site.op
    assert isinstance(op, Recurrence)
    x, weight, bias, *before = site.operands
    result = site.results[0]
    steps, width = result.type.shape
    spec = RecurrenceKernel(op.cell, op.reverse, op.initial, planner.precision, planner.element)
    block = min(max(power_above(width), 16), WIDEST)
    count = times(1, result.type)
    constants = {
        "T": steps, "N": width, "WN": matrix_width(width), "XN": row_stride(x.type),
        "HN": row_stride(before[0].type) if before else 0, "BM": ROWS, "BN": block, "BK": block,
    }  # fmt: skip
    programs = f"cdiv({count}, {ROWS}) * {-(-width // block)}"
    call = Call(programs, count, tuple(constants.items()), steps=steps)
    stem = kernel_stem(op.cell, "reverse" if op.reverse else "", "from_state" if op.initial else "")
    reads = (planner.read(x), Packed(weight, "matrix({})"), planner.read(bias), *map(planner.read, before))
    planner.launch(site, "recurrence", stem, spec, reads, call)
