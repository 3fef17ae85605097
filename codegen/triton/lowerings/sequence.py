"""Sequences: rows of features, one for each place."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from netdsl.codegen.triton.index import linear
from netdsl.codegen.triton.lowerings.pointwise import at, pointwise
from netdsl.codegen.triton.place import Body, Coordinate
from netdsl.codegen.triton.planner import Planner
from netdsl.codegen.triton.site import Site
from netdsl.ops.sequence import Embed, Position


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


def position(planner: Planner, site: Site) -> None:
    """sin(p f) or cos(p f). The frequency is worked out in float64: an error in it counts p times."""
    op = site.op
    assert isinstance(op, Position)
    (places,) = site.operands
    half = op.features // 2

    def compute(body: Body, axes: Sequence[Coordinate]) -> str:
        *place, feature = (axis.text for axis in axes)
        value = body.load(places, "place", at(body, places, [*place, "0"]))
        body.lines.append(f"feature = {feature}")
        if op.halves:
            number, cosine, step = f"feature % {half}", f"feature >= {half}", -log(10000.0) / (half - 1)
        else:
            number, cosine, step = "feature // 2", "feature % 2 == 1", -log(10000.0) / half
        body.lines.append(f"angle = {value} * tl.exp(({number}).to(tl.float64) * {step!r}).to(tl.float32)")
        body.lines.append(f"encoded = tl.where({cosine}, tl.cos(angle), tl.sin(angle))")
        return "encoded"

    pointwise(planner, site, compute)
