"""Sequences: rows of features, one for each place."""

from __future__ import annotations

from collections.abc import Sequence

from netdsl.codegen.triton.index import linear
from netdsl.codegen.triton.lowerings.pointwise import at, pointwise
from netdsl.codegen.triton.place import Body, Coordinate
from netdsl.codegen.triton.planner import Planner
from netdsl.codegen.triton.site import Site
from netdsl.ops.sequence import Embed


def embed(planner: Planner, site: Site) -> None:
    """Element c of row x of the table; NaN where there is no such row."""
    op = site.op
    assert isinstance(op, Embed)
    (indices,), (table,) = site.operands, site.weights

    def compute(body: Body, axes: Sequence[Coordinate]) -> str:
        *place, column = (axis.text for axis in axes)
        row = body.load(indices, "row", at(body, indices, place))
        body.lines.append(f"known = ({row} >= 0) & ({row} < {op.vocab})")
        value = body.load(table, "value", (linear([(row, op.width), (column, 1)]), "inside & known"))
        body.lines.append(f'{value} = tl.where(known, {value}, float("nan"))')
        return value

    pointwise(planner, site, compute)
