"""Joins whose branches look at different places of the input."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from netdsl import codes
from netdsl.analysis.receptive_field import Shift, receptive_fields
from netdsl.diagnostics import Diagnostic, Label
from netdsl.ir.graph import Graph


def shifted_branches(graph: Graph) -> Iterator[Diagnostic]:
    """Warnings (W0007) where elements that meet look at places at least one position apart."""
    for node, shifts in groupby(receptive_fields(graph)[1], lambda shift: shift.node):
        if node.span is None:
            continue
        apart = " and ".join(_described(shift, node.outputs[0].type.rank - 1) for shift in shifts)
        yield Diagnostic(
            codes.BRANCHES_SHIFTED,
            "the branches joined here look at different places of the input",
            Label(node.span, f"they lie {apart} apart"),
            help="pad or crop both sides alike",
            frame=node.frame,
        )


def _described(shift: Shift, rank: int) -> str:
    distance = float(max(shift.centres) - min(shift.centres))
    across = ("element",) if rank == 1 else ("row", "column")
    return f"{distance:g} {across[shift.dim]}{'' if distance == 1 else 's'}"
