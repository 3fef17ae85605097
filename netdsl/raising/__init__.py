"""From a graph to a program: structure is found again, and the text is short. See `raise_graph`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product

from netdsl.diagnostics import Report
from netdsl.elaborate import Options, elaborate
from netdsl.elaborate import Program as Parsed
from netdsl.ir.graph import Graph, InvalidGraph
from netdsl.ir.same import correspondence
from netdsl.limits import DEFAULT_LIMITS, Limits
from netdsl.raising.prepare import prepare
from netdsl.raising.regions import Reducer
from netdsl.raising.structure import find_structure
from netdsl.raising.write import write
from netdsl.source import Source
from netdsl.syntax.format import format
from netdsl.syntax.parse import parse

LIMITS = replace(DEFAULT_LIMITS, file_bytes=64 * 2**20, statements=5_000_000)


@dataclass(frozen=True, slots=True)
class Program:
    """A graph as a program.

    text      the formatted program, with one net.
    graph     what it means: the graph that was raised, under the program's names.
    weights   each weight of the program and the parameter of the graph that it is. A parameter that different layers
              read stands for several weights with one content.
    """

    text: str
    graph: Graph
    weights: Mapping[str, str]


def raise_graph(graph: Graph, name: str) -> Program:
    """The graph as a short program, in a net called `name` (or what of it can be a name).

    Elaborating the text gives the graph again, up to names, the order of nodes, the order of the two terms of a
    sum, and weights that different layers read, which become a weight for each of them (but for a table and
    products by it, which are tied). This is checked before the program is returned: where a structure that was
    found does not hold, a plainer text takes its place. Weights that no layer reads are left out. Raises
    InvalidGraph for what no text can say: operators that passes make, and layers inside `each` that nothing reads.
    """
    prepared = prepare(graph)
    for branches, structure in product((True, False), (True, False)):
        # The search for structure changes a net in place, so that a plainer text begins anew.
        reducer = Reducer(prepared, branches)
        net = reducer.net()
        blocks = find_structure(prepared, net) if structure else []
        text = write(prepared, net, blocks, name)
        expected = prepared.expected(reducer.swapped)
        raised = _elaborated(text, LIMITS)
        match = correspondence(raised, expected) if raised else None
        if raised is not None and match is not None:
            origin = {value.name: old.name for value, old in prepared.origin.items()}
            weights = {p.value.name: origin[match[p.value].name] for p in raised.parameters}
            return Program(_formatted(text), raised, weights)
    raise InvalidGraph(f"the graph {graph.name} cannot be written as a program")


def _formatted(text: str) -> str:
    source = Source("raised.net", text)
    tree = parse(source, Report(), LIMITS)
    assert tree is not None
    return format(source, tree)


def _elaborated(text: str, limits: Limits) -> Graph | None:
    report = Report()
    tree = parse(Source("raised.net", text), report, limits)
    if tree is None:
        return None
    program = Parsed(tree)
    return elaborate(program, tree.definitions[-1], Options(limits=limits), report)
