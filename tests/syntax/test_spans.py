"""Every node of a tree knows exactly which characters it stands for."""

from __future__ import annotations

import ast as python

import pytest
from syntax_structure import nodes, parsed, span_of
from syntax_texts import PROGRAMS, random_program

from netdsl.syntax import ast

TEXTS = {**PROGRAMS, **{f"random {seed}": random_program(seed) for seed in range(60)}}


@pytest.mark.parametrize("name", TEXTS)
def test_every_node_is_the_text_of_its_span(name: str) -> None:
    text = TEXTS[name]
    tree = parsed(text)
    for node in nodes(tree):
        span = span_of(node)
        found = span.text
        assert found == found.strip(" \t\r\n;") or node is tree
        match node:
            case ast.Number():
                assert node.value == python.literal_eval(found)
                assert type(node.value) is type(python.literal_eval(found))
            case ast.String():
                assert node.value == python.literal_eval(found)
            case ast.Boolean():
                assert found == str(node.value).lower()
            case ast.Name():
                assert found == node.name
            case ast.Attribute():
                assert found.endswith(f".{node.name}")
            case ast.Index():
                assert found.endswith("]")
            case ast.Call():
                assert node.name_span.text == node.name
                assert found.startswith(node.name)
                assert found.endswith(")")
            case ast.ListExpr():
                assert found[0] == "["
                assert found[-1] == "]"
            case ast.Setting():
                assert node.name_span.text == node.name
                assert found.startswith(node.name)
            case ast.Step() | ast.Branches():
                assert node.word_span.text == node.word
                assert found.startswith(node.word)
            case ast.Skip() | ast.Each() | ast.Repeat() | ast.For() | ast.If():
                assert node.word_span.text == type(node).__name__.lower()
                assert found.startswith(node.word_span.text)
                assert found.endswith("}")
            case ast.Naming():
                assert found.startswith("as")
            case ast.Check():
                assert found.startswith(":")
            case ast.Let() | ast.Input() | ast.Param() | ast.Share() | ast.Assert() | ast.Output() | ast.Use():
                assert found.startswith(type(node).__name__.lower())
            case ast.Body():
                assert found[0] in "{|i"  # an `else if` is a body without braces
            case ast.Definition():
                assert found.startswith(node.kind)
                assert found.endswith("}")


@pytest.mark.parametrize("name", TEXTS)
def test_parts_lie_inside_the_whole(name: str) -> None:
    def inside(node: object) -> None:
        for part in nodes(node)[1:]:
            assert span_of(node).start <= span_of(part).start <= span_of(part).end <= span_of(node).end

    for node in nodes(parsed(TEXTS[name])):
        inside(node)


def test_lines_and_columns() -> None:
    tree = parsed("net A {\r\n\tconv 64 k3x5 # wide\r\n\r\n  relu\r\n}\r\n")
    number = next(node for node in nodes(tree) if isinstance(node, ast.Number))
    setting = next(node for node in nodes(tree) if isinstance(node, ast.Setting))
    relu = [node for node in nodes(tree) if isinstance(node, ast.Step)][1]
    assert (number.span.line, number.span.column, number.span.text) == (2, 7, "64")
    assert (setting.span.line, setting.span.column, setting.span.text) == (2, 10, "k3x5")
    assert isinstance(setting.value, ast.ShapeExpr)
    assert setting.value.span.column == 11
    assert (relu.span.line, relu.span.column) == (4, 3)
    assert [str(comment) for comment in tree.comments] == ["test.net:2:15"]
    assert tree.comments[0].text.rstrip() == "# wide"


def test_what_a_let_holds() -> None:
    """An expression wherever it may be a value, a chain otherwise."""
    forms = {
        "channels // 2": ast.Binary,
        "p[7]": ast.Index,
        "twin(left)": ast.Call,
        "x": ast.Name,
        "p3": ast.Name,
        "[1, 2]": ast.ListExpr,
        "it.height": ast.Attribute,
        "-3": ast.Unary,
        "3x4": ast.ShapeExpr,
        "x -> relu": ast.Chain,
        "c[5] -> conv 256 k1": ast.Chain,
        "add(t[i]) -> relu": ast.Chain,
        "conv 64": ast.Chain,
        "conv k3": ast.Chain,
        "add(w) eps=1e-4": ast.Chain,
        "x as y": ast.Chain,
        "x : 3x4": ast.Chain,
        "repeat 3 { relu }": ast.Chain,
        "add { | it | relu }": ast.Chain,
    }
    for text, kind in forms.items():
        tree = parsed(f"net A {{ let a = {text} }}")
        let = tree.definitions[0].body.statements[0]
        assert isinstance(let, ast.Let)
        assert isinstance(let.value, kind), text
        assert let.value.span.text == text


def test_values_then_attributes() -> None:
    tree = parsed("net A { conv 4*width same k3x5 s=stride p1x2 nobias }")
    step = next(node for node in nodes(tree) if isinstance(node, ast.Step))
    assert [value.span.text for value in step.values] == ["4*width", "same"]
    assert [(item.name, item.value and item.value.span.text) for item in step.settings] == [
        ("k", "3x5"),
        ("s", "stride"),
        ("p", "1x2"),
        ("nobias", None),
    ]
