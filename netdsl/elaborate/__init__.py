"""From a tree to a graph: names are resolved, blocks expanded, shapes checked, weights named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netdsl import codes
from netdsl.diagnostics import Diagnostic, Label, Report
from netdsl.elaborate.expand import Expander
from netdsl.elaborate.mistakes import LimitMet
from netdsl.elaborate.places import misplaced
from netdsl.elaborate.program import Program, namespaces, nets
from netdsl.elaborate.unused import dropped_results, unused_names
from netdsl.ir.graph import Graph
from netdsl.limits import DEFAULT_LIMITS, Limits
from netdsl.syntax import ast


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller sets: the net's parameters (plain values or expressions), input shapes, training or inference."""

    settings: Mapping[str, object] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    training: bool = False
    limits: Limits = DEFAULT_LIMITS


def elaborate(program: Program, net: ast.Definition, options: Options, report: Report) -> Graph | None:
    """Expand a net into a graph. Mistakes and warnings go to `report`; None after an error."""
    spaces = namespaces(program, report)
    expander = Expander(net, spaces, options.shapes, options.training, options.limits, report)
    try:
        expander.run(options.settings)
    except LimitMet:
        return None
    except RecursionError:
        help = "blocks, loops and parentheses stand too deep inside one another"
        report.add(
            Diagnostic(codes.NESTING_TOO_DEEP, "the program is nested too deep", Label(net.name.span), help=help)
        )
        return None
    if report.has_errors:
        return None
    graph = expander.builder.finish()
    named = expander.named
    for diagnostic in (*misplaced(graph), *dropped_results(graph, named), *unused_names(expander.usage, graph, named)):
        report.add(diagnostic)
    return None if report.has_errors else graph


__all__ = ["Options", "Program", "elaborate", "nets"]
