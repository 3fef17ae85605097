"""The text form: every graph prints, parses and prints the same again."""

from __future__ import annotations

import pytest

from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph, InvalidGraph
from netdsl.ir.text import dump, parse_text
from netdsl.ir.verify import verify
from netdsl.ops import ALL
from netdsl.ops.conv import Conv
from netdsl.source import Source, Span
from netdsl.tensor import TensorType


def tiny() -> Graph:
    source = Source("tiny.net", "net tiny {\n  input x: 3x8x8\n  conv 4 k3 p1 nobias as c1\n}\n")
    builder = GraphBuilder("tiny")
    x = builder.input("x", TensorType((3, 8, 8)))
    (y,) = builder.node(Conv(4, (3,), padding=(1,), bias=False), (x,), name="c1", scope="s", span=Span(source, 30, 50))
    return builder.result("y", y).finish()


def test_tiny() -> None:
    assert dump(tiny()) == (
        "graph tiny(%x: f32[N,3,8,8]) params(\n"
        "  %c1.weight: f32[4,3,3,3] = uniform 0.4714045207910317\n"
        ") {\n"
        "  %c1: f32[N,4,8,8] = conv{out=4, k=3x3, s=1x1, p=1x1x1x1, d=1x1, nobias} %x %c1.weight in s\n"
        "  return y=%c1\n"
        "}\n"
    )


def test_places_are_comments() -> None:
    text = dump(tiny(), places=True)
    assert " in s  # tiny.net:3:3\n" in text
    assert dump(parse_text(text)) == dump(tiny())


def test_identity_of_every_sample() -> None:
    for kind in ALL:
        for sample in kind.samples():
            builder = GraphBuilder(f"{kind.word}.{sample.name}")
            inputs = [builder.input(f"x{i}", type) for i, type in enumerate(sample.inputs)]
            for index, value in enumerate(builder.node(sample.op, inputs, name="y")):
                builder.result(f"y{index}", value)
            graph = builder.finish()
            again = parse_text(dump(graph))
            assert dump(again) == dump(graph)
            assert again.nodes[0].op == graph.nodes[0].op
            verify(again)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("conv{", "cnov{", "line 4: expected an operator, found `cnov`"),
        ("k=3x3", "q=3x3", "line 4: expected an attribute of conv, found `q`"),
        ("k=3x3", "k=axb", "expected a whole number for every axis"),
        ("%x %c1", "%z %c1", "line 4: expected a value that is defined above, found `%z`"),
        ("f32[N,3", "f33[N,3", "line 1: expected a type, found `f33[N,3,8,8]`"),
        ("y=%c1\n}", "y=%c1", "line 6: expected a result's name, found `the end`"),
        ("y=%c1\n}", "y=%c1\n}\nmore", "expected the end, found `more`"),
        ("8]", "8", "line 1: expected a type"),
    ],
)
def test_mistakes_are_located(old: str, new: str, message: str) -> None:
    text = dump(tiny()).replace(" in s", "")
    broken = text.replace(old, new, 1)
    assert broken != text
    with pytest.raises(InvalidGraph) as caught:
        parse_text(broken)
    assert message in str(caught.value)
