"""Programs from graphs: they mean the graph that they were made from, and are as short as one would write them."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from generator import RandomNet, nets
from hypothesis import HealthCheck, Phase, given, seed, settings
from net_checks import read
from pace import within
from scramble import scrambled

from netdsl import raising
from netdsl.codes import HIDES_BUILTIN, NAME_NEVER_USED
from netdsl.diagnostics import Report
from netdsl.driver import Request, build
from netdsl.elaborate import Options, elaborate
from netdsl.elaborate import Program as Parsed
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph, users
from netdsl.ir.same import correspondence
from netdsl.limits import Limits
from netdsl.ops.activation import Relu
from netdsl.ops.conv import Conv
from netdsl.ops.each import Each
from netdsl.ops.linear import Fc
from netdsl.ops.norm import BatchNorm
from netdsl.raising import Program, raise_graph
from netdsl.source import Source
from netdsl.syntax.format import format
from netdsl.syntax.parse import parse
from netdsl.tensor import TensorType

EXAMPLES = Path(__file__).parents[2] / "examples"
INDEX = json.loads((EXAMPLES / "index.json").read_text(encoding="utf-8"))
NETS = [entry["net"] for entry in INDEX]


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


@pytest.mark.parametrize("net", NETS)
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


LINES = Path(__file__).with_name("lines.txt")


def test_programs_are_as_short_as_the_table_says(pytestconfig: pytest.Config) -> None:
    """The table has a net a line: its name, its layers, and the lines of its program. `--update-golden` rewrites it."""
    found = "".join(f"{net} {len(graph(net).nodes)} {raised(net).text.count(chr(10))}\n" for net in NETS)
    if pytestconfig.getoption("--update-golden"):
        LINES.write_text(found, encoding="utf-8")
    assert found == LINES.read_text(encoding="utf-8")


@pytest.mark.parametrize("net", ["ResNet50", "VGG16", "DenseNet121", "MobileNetV2"])
def test_well_known_nets_fit_on_a_screen(net: str) -> None:
    assert len(raised(net).text.splitlines()) <= 24


DENSENET = """\
block dense {
  concat {
    | it
    | bn -> relu -> conv 128 k1 nobias -> bn -> relu -> conv 32 k3 p1 nobias
  }
}

net DenseNet121 {
  input image: 3x224x224

  conv 64 k7 s2 p3 nobias -> bn -> relu -> pool max k3 s2 p1
  for depth in [6, 12, 24] {
    repeat depth { dense }
    bn -> relu -> conv channels // 2 k1 nobias -> pool avg k2
  }
  repeat 16 { dense }
  bn -> relu -> pool avg global -> flatten -> fc 1000
}
"""


def test_a_program_reads_as_one_would_write_it() -> None:
    assert raised("DenseNet121").text == DENSENET


def test_a_join_at_the_end_of_each_is_of_its_body() -> None:
    text = """\
net N {
  input image: 3x18x18

  each {
    shuffle g6 as a -> slice 17 18 -> fc 18 -> attention(a, it)
  }
}
"""
    program = raise_graph(meaning(text)[0], "N")
    assert program.text == text


@seed(1)
@settings(max_examples=100, database=None, deadline=None, phases=(Phase.generate,), suppress_health_check=HealthCheck)
@given(nets())
def test_random_nets_come_back(net: RandomNet) -> None:
    """As the same layers, but for the order of the two terms of a sum, and weights that different layers shared."""
    stranger = scrambled(read(net), len(net.text))
    if _has_idle_rows(stranger):
        return
    program = raise_graph(stranger, "Net")
    found = meaning(program.text)[0]
    assert correspondence(found, program.graph) is not None
    assert Counter(node.op for node in found.nodes) == Counter(node.op for node in stranger.nodes)
    assert set(program.weights.values()) <= {parameter.value.name for parameter in stranger.parameters}


def _has_idle_rows(graph: Graph) -> bool:
    """Whether a layer may stand inside `each` of which nothing reads the result: the one thing that is not raised."""
    read_by = users(graph)
    idle = [node for node in graph.nodes if not any(v in read_by or v in graph.outputs for v in node.outputs)]
    return bool(idle) and any(isinstance(node.op, Each) for node in graph.nodes)


def test_a_plainer_text_takes_the_place_of_one_that_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for structure has changed the branches by then, which the plainer text must not show."""
    found = raising._elaborated
    asked: list[str] = []

    def doubting(text: str, limits: Limits) -> Graph | None:
        asked.append(text)
        return found(text, limits) if len(asked) > 1 else None

    monkeypatch.setattr(raising, "_elaborated", doubting)
    program = raise_graph(graph("InceptionV3"), "InceptionV3")
    assert correspondence(program.graph, graph("InceptionV3")) is not None
    assert "block " in asked[0]
    assert "block " not in asked[1]


def test_multiples_of_multiples_have_names() -> None:
    """128 w is twice 64 w, and too large a multiple of w to be said."""
    builder = GraphBuilder("wide")
    value = builder.input("x", TensorType((4,)))
    for width in (2, 3, 5, 7):
        for factor in (1, 64, 128):
            for op in (Fc(factor * width), Relu()):
                (value,) = builder.node(op, (value,), name=f"n{width}_{factor}_{op.word}")
    graph = builder.result("y", value).finish()
    program = raise_graph(graph, "Wide")
    assert correspondence(program.graph, graph) is not None
    assert "for " in program.text


def test_a_long_net_takes_seconds() -> None:
    """Five thousand layers without a structure: nothing in it is quadratic, and nothing recurses along a chain."""
    builder = GraphBuilder("long")
    value = builder.input("x", TensorType((8, 9, 9)))
    random = Random(1)
    for number in range(5_000):
        op = random.choice([Conv(8, (random.randrange(1, 9),), same=True), Relu(), BatchNorm()])
        (value,) = builder.node(op, (value,), name=f"n{number}")
    graph = builder.result("y", value).finish()
    with within(30):
        raise_graph(graph, "Long")


TIED = {
    "a table": "share t = embed 9 4; t(words) -> fc 4 -> fc 9 tied=t",
    "the product first": "share t = embed 9 4; x -> fc 9 tied=t as y; t(words) -> fc 9 tied=t -> add(it, y)",
    "a matrix": "share m = fc 4; x -> m -> relu -> fc 4 tied=m -> m",
    "in a loop": "share t = embed 9 4; t(words); repeat 3 { fc 9 tied=t -> softmax -> fc 4 nobias }",
    "crosswise": "share t = embed 9 4; share u = embed 9 4; t(words) -> fc 9 tied=u as y; u(words) -> fc 9 tied=t\n"
    "add(it, y)",
}


@pytest.mark.parametrize("body", TIED.values(), ids=TIED)
def test_tied_weights_stay_tied(body: str) -> None:
    """One parameter for a table and the products by it, whatever order they came in."""
    report = Report()
    tree = parse(Source("tied.net", f"net T {{ input words: int 5; input x: 5x4; {body} }}"), report)
    assert tree is not None
    tied = elaborate(Parsed(tree), tree.definitions[-1], Options(), report)
    assert tied is not None, report.diagnostics
    for order in range(4):
        program = raise_graph(scrambled(tied, order), "T")
        assert correspondence(meaning(program.text)[0], tied) is not None
        assert len(set(program.weights.values())) == len(program.weights) == len(tied.parameters)
        assert "tied=" in program.text
