"""Programs from graphs: they mean the graph that they were made from, and are as short as one would write them."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from scramble import scrambled

from netdsl.codes import HIDES_BUILTIN, NAME_NEVER_USED
from netdsl.diagnostics import Report
from netdsl.driver import Request, build
from netdsl.elaborate import Options, elaborate
from netdsl.elaborate import Program as Parsed
from netdsl.ir.graph import Graph
from netdsl.ir.same import correspondence
from netdsl.raising import Program, raise_graph
from netdsl.source import Source
from netdsl.syntax.format import format
from netdsl.syntax.parse import parse

EXAMPLES = Path(__file__).parents[2] / "examples"
INDEX = json.loads((EXAMPLES / "index.json").read_text(encoding="utf-8"))
sys.path.append(str(Path(__file__).parents[1] / "random_nets"))
sys.path.append(str(Path(__file__).parents[1] / "reference"))


@cache
def graph(net: str) -> Graph:
    (entry,) = [entry for entry in INDEX if entry["net"] == net]
    return build(Request(str(EXAMPLES / entry["file"]), net), Report())


@cache
def raised(net: str) -> Program:
    return raise_graph(scrambled(graph(net), 1), net)


def meaning(text: str) -> tuple[Graph, list[Any]]:
    """The graph of a program, and what was said about it."""
    report = Report()
    source = Source("raised.net", text)
    tree = parse(source, report)
    assert tree is not None
    assert format(source, tree) == text
    found = elaborate(Parsed(tree), tree.definitions[-1], Options(), report)
    assert found is not None, report.diagnostics
    return found, list(report.diagnostics)


@pytest.mark.parametrize("net", [entry["net"] for entry in INDEX])
def test_the_text_means_the_graph(net: str) -> None:
    """With names stripped and nodes in another order; weights find their new names."""
    stranger = scrambled(graph(net), 1)
    program = raised(net)
    found, remarks = meaning(program.text)
    match = correspondence(found, stranger)
    assert match is not None
    assert correspondence(found, graph(net)) is not None
    assert not {remark.code for remark in remarks} & {NAME_NEVER_USED, HIDES_BUILTIN}
    assert {new: match[p.value].name for p in found.parameters for new in [p.value.name]} == dict(program.weights)
    assert len(set(program.weights.values())) == len(stranger.parameters)
    assert max(map(len, program.text.splitlines())) <= 100


@pytest.mark.parametrize("net", ["ResNet50", "DenseNet121", "ShuffleNetV2", "UNet", "Triplet", "HRNetW18"])
def test_the_order_of_nodes_does_not_count(net: str) -> None:
    assert {raise_graph(scrambled(graph(net), seed), net).text for seed in range(2, 5)} == {raised(net).text}
