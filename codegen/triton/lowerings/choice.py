"""Choosing: the largest elements, rows by their index, boxes that do not overlap."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from netdsl.codegen.triton.index import coordinates, linear, row_stride, strides
from netdsl.codegen.triton.kernels import Call, NmsKernel, TopKKernel
from netdsl.codegen.triton.lowerings.pointwise import at, pointwise
from netdsl.codegen.triton.lowerings.spatial import times
from netdsl.codegen.triton.place import Body, Coordinate
from netdsl.codegen.triton.planner import Planner, kernel_stem
from netdsl.codegen.triton.site import Site
from netdsl.ops.choice import Nms, TopK
from netdsl.tensor import shape_text

TOGETHER = 16
"""Elements of a line that each of `topk` meets at a time: with a block of 64, eight pairs of each thread."""


def top_k(planner: Planner, site: Site) -> None:
    """Each element counts those before it in the order, which is its place, and writes itself there.

    It meets `TOGETHER` others at a time, whose loads do not wait for each other; all parts of a line are counted beside
    each other. Sorting tiles in registers compares less, n instead of n^2, but the compiler takes up to a minute for
    the sort of 1,024 keys, and a single program would go through the line.
    """
    op = site.op
    assert isinstance(op, TopK)
    assert not site.tail
    x, values = site.operands[0].type, site.results[0].type
    row, axes = coordinates("i", x)
    line = [(row, row_stride(x)), *zip(axes, strides(x), strict=True)]
    del line[op.axis + 1]
    reached = [*axes[: op.axis], "rank", *axes[op.axis + 1 :]]
    target = linear([(row, row_stride(values)), *zip(reached, strides(values), strict=True)])
    title = (
        f"The {op.count} largest of {x.shape[op.axis]} elements of {shape_text(x.shape)}, falling, and their places."
    )
    spec = TopKKernel(title, axes[op.axis], linear(line), x.shape[op.axis], strides(x)[op.axis], op.count, target)
    count, block = times(prod(x.shape), x), max(planner.tiling.block() // TOGETHER, TOGETHER)
    call = Call(f"cdiv({count}, {block})", count, (("BLOCK", block), ("BK", TOGETHER)), widest=x.size * max(x.batch, 1))
    stem = kernel_stem("topk", str(op.count), shape_text(x.shape))
    planner.launch(site, "top_k", stem, spec, (planner.read(site.operands[0]),), call)


def gather(planner: Planner, site: Site) -> None:
    """Row k of the result is the row that index k names; zeros where there is none."""
    x, indices = site.operands

    def compute(body: Body, axes: Sequence[Coordinate]) -> str:
        place, *rest = (axis.text for axis in axes)
        row = body.load(indices, "row", at(body, indices, [place]))
        known = f"({row} >= 0) & ({row} < {x.type.shape[0]})"
        return body.load(x, "value", at(body, x, [row, *rest], known), "0.0")

    pointwise(planner, site, compute)


def nms(planner: Planner, site: Site) -> None:
    """A program for each row of the batch: boxes stay in it from first to last."""
    op = site.op
    assert isinstance(op, Nms)
    boxes, scores = site.operands
    count = scores.type.shape[0]
    title = f"Which {op.count} of {count} boxes stay, best first; -1 where there are fewer."
    held = 1 << (count - 1).bit_length()
    spec = NmsKernel(title, count, held, op.count, row_stride(boxes.type), float(op.iou), float(op.least))
    rows = times(1, site.result.type)
    reads = tuple(planner.read(value) for value in site.operands)
    planner.launch(site, "nms", kernel_stem("nms", str(op.count), str(count)), spec, reads, Call(rows, rows))
