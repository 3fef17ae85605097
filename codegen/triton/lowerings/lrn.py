"""Local response normalisation."""

from __future__ import annotations

from collections.abc import Sequence

from netdsl.codegen.triton.index import linear, row_stride, shifted, strides
from netdsl.codegen.triton.lowerings.pointwise import at, pointwise
from netdsl.codegen.triton.place import Body, Coordinate
from netdsl.codegen.triton.planner import Planner
from netdsl.codegen.triton.site import Site
from netdsl.ops.norm import LRN


def lrn(planner: Planner, site: Site) -> None:
    """x / (offset + alpha / size * squares) ** beta, the squares summed over neighbouring channels."""
    op = site.op
    assert isinstance(op, LRN)
    operand = site.operands[0]
    channels = operand.type.shape[0]
    step = strides(operand.type)[0]

    def compute(body: Body, axes: Sequence[Coordinate]) -> str:
        channel, *others = (axis.text for axis in axes)
        value = body.load(operand, "value", at(body, operand, (channel, *others)))
        pointer = body.parameter(operand, "value_at")
        terms = [(body.place.row.text, row_stride(operand.type)), *zip(others, strides(operand.type)[1:], strict=True)]
        before = op.size // 2
        body.lines += [
            f"first = {shifted(channel, -before)}",
            f"start = {linear([*terms, ('first', step)])}",
            f"squares = {value} * 0.0",
            f"for k in tl.static_range({op.size}):",
            f"    near = inside & (first + k >= 0) & (first + k < {channels})",
            f"    neighbour = tl.load({pointer} + start + k * {step}, mask=near, other=0.0){body.widen(operand)}",
            "    squares += neighbour * neighbour",
            f"base = {float(op.offset)!r} + squares * {op.alpha / op.size!r}",
            f"result = {value} * tl.exp(tl.log(base) * {-float(op.beta)!r})",
        ]
        return "result"

    pointwise(planner, site, compute)
