"""Nothing is silent: results that are dropped, and names that nothing uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netdsl import codes
from netdsl.diagnostics import Diagnostic, Label
from netdsl.elaborate.values import Binding, Family
from netdsl.ir.graph import Graph, Node, Value
from netdsl.source import Span

_WHAT = {"input": "input", "parameter": "parameter", "param": "weight", "share": "shared layer"}


def dropped_results(graph: Graph, named: Mapping[Value, Span]) -> Iterator[Diagnostic]:
    """Steps whose result nothing reads and no name keeps, in any of their expansions: a chain was begun anew too early.

    A step in a loop may idle in some rounds (the last pool of a pyramid), so it is asked of all of them together.
    """
    used = _used(graph)
    dropped: dict[Span, Node] = {}
    needed: set[Span] = set()
    for node in graph.nodes:
        if node.span is None:
            continue
        if any(value in used or value in named for value in node.outputs):
            needed.add(node.span)
        else:
            dropped.setdefault(node.span, node)
    for span, node in dropped.items():
        if span not in needed:
            yield Diagnostic(
                codes.DROPPED_RESULT,
                "this result is dropped: nothing uses it",
                Label(span),
                help="name it (`... as name`) and use the name, join it with another, or leave the line out",
                frame=node.frame,
            )


def unused_names(usage: Mapping[Span, Binding], graph: Graph, named: Mapping[Value, Span]) -> Iterator[Diagnostic]:
    """Names that nothing uses. What `as` names is used where the chain goes on from it; a loop variable may idle."""
    read = _used(graph)
    carried_on = {span for value, span in named.items() if value in read}
    for span, binding in usage.items():
        if binding.used or binding.kind == "loop" or span in carried_on or isinstance(binding.value, Family):
            continue
        if isinstance(binding.value, Value) and binding.value in read:
            continue
        what = _WHAT.get(binding.kind, "name")
        yield Diagnostic(
            codes.NAME_NEVER_USED,
            f"the {what} `{span.text}` is never used",
            Label(span),
            help="use it, or leave it out",
        )


def _used(graph: Graph) -> set[Value]:
    return {value for node in graph.nodes for value in node.inputs} | set(graph.outputs)
