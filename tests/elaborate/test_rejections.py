"""Every mistake at its place, with what mends it; one mistake is one message."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pace import within

import netdsl
from netdsl.elaborate import spellings
from netdsl.limits import Limits

CASES = [
    ("conv 8 k3\n widht", "E0201", 4, "unknown layer `widht`", None),
    ("cnov 8 k3", "E0201", 3, "unknown layer `cnov`", "`conv`"),
    ("conv chanels k3", "E0202", 3, "unknown name `chanels`", "`channels`"),
    ("relu as a\n relu as a", "E0203", 4, "set twice", None),
    ("conv 64.0 k3", "E0204", 3, "64.0", "`64`"),
    ("conv true k3", "E0204", 3, "a boolean", None),
    ("conv 8 9 k3", "E0204", 3, "9 is one more", None),
    ("conv 8 k3 k5", "E0204", 3, "twice", None),
    ("pool mex k2", "E0204", 3, "one of max, avg, min", "`max`"),
    ("conv 8", "E0205", 3, "kernel extents", "`k3`"),
    ("pool k2", "E0205", 3, "function", "`pool max`"),
    ("conv 8 k 3", "E0204", 3, "without its value", "`k3`"),
    ("conv 8 K3", "E0206", 3, "`K3`", "`k3`"),
    ("conv 8 k3 padding=same", "E0204", 3, "is a flag", "write `same` alone"),
    ("Conv2d 8 k3", "E0201", 3, "unknown layer `Conv2d`", "`conv`"),
    ("relu as it", "E0210", 3, "current tensor", None),
    ("output y", "E0202", 3, "no tensor `y`", None),
    ("conv 8 k3 stide=2", "E0206", 3, "no attribute `stide`", "`stride`"),
    ("conv 8 k3 nobas", "E0206", 3, "no attribute `nobas`", "`nobias`"),
    ("relu(x, x)", "E0207", 3, "works on 1 tensor", None),
    ("add(8)", "E0207", 3, "a whole number", "`add 8`"),
    ("conv 8 k3\n x -> relu", "E0208", 3, "dropped", "name it"),
    ("split 1 as a, b -> relu", "E0207", 3, "2 names", None),
    ("split 1 -> relu", "E0208", 3, "3 results", "as a, b, c"),
    ("relu as y -> tanh -> y", "E0211", 3, "only a chain's first link", "add(y)"),
    ("let n = 4\n n", "E0211", 4, "not a layer", None),
    ("conv 8 k9", "E0301", 3, "does not fit the height of 8", "`p1`"),
    ("pool max k2 indices as y, at\n y -> unpool(at) k2 to=9x9", "E0301", 4, "a plane of 8x8", "to=8x8"),
    ("conv 8 k1 g2", "E0301", 3, "g2 does not divide its 3 input channels", None),
    ("skip { conv 8 k1 }", "E0302", 3, "different shapes", "via { conv 8 k1 }"),
    ("skip { conv 3 k3 -> relu }", "E0302", 3, "different shapes", "`p1`"),
    ("conv 8 k1 as y\n add(x, y)", "E0303", 4, "3x8x8 and 8x8x8", "conv 8 k1"),
    ("concat { | conv 8 k3 | it }", "E0303", 3, "differ in more than their channels", "crop"),
    ("conv 8 k3 : 8x8x8", "E0304", 3, "this is 8x6x6", None),
    ("conv 8 / 3 k1", "E0204", 3, "2.66", None),
    ("conv 8 // 0 k1", "E0401", 3, "division by zero", None),
    ("if 1 { relu }", "E0401", 3, "true or false", "n > 0"),
    ("for i in 3 { relu }", "E0401", 3, "needs a list", "range(3)"),
    ("for i, j in [[1, 2, 3]] { relu }", "E0401", 3, "names 2 values", None),
    ("repeat 1 - 2 { relu }", "E0401", 3, "cannot count to -1", None),
    ("x[0] -> relu", "E0401", 3, "never slice", "`slice`"),
    ("let m = [1, 2]\n let n = m[2]\n conv n k1", "E0401", 4, "no item [2]", None),
    ("assert channels % 2 == 0", "E0402", 3, "does not hold", None),
    ('assert channels > 4 : "{channels} of {2 * 4}, {} {it.height"', "E0402", 3, "3 of 8, {} {it.height", None),
    ('for i in ["a b"] { let e[i] = x -> relu }', "E0401", 3, '"a b" cannot be', "keys are letters"),
]


@pytest.mark.parametrize(("body", "code", "line", "message", "help"), CASES, ids=[case[0][:24] for case in CASES])
def test_a_mistake_at_its_place(find, body, code, line, message, help):
    errors = [d for d in find(f"net N {{\n input x: 3x8x8\n {body}\n}}") if d.severity.value == "error"]
    (mistake,) = errors
    assert (mistake.code, mistake.primary.span.line) == (code, line)
    assert message in mistake.message
    if help:
        assert help in mistake.help


def test_mistakes_of_one_text_are_reported_together_and_only_once(find):
    text = """block b(width) { cnov width k1 -> rleu }
net N {
  input x: 3x8x8
  b(4) as y
  b(8) -> add(it, y) -> conv 8 k3 -> pool max 2
}"""
    found = [(d.code, d.primary.span.line) for d in find(text)]
    assert found == [("E0201", 1), ("E0201", 1), ("E0204", 5)]


def test_the_chain_of_block_calls(find):
    text = """block inner(width) { conv width k9 }
block outer { conv 4 k1 -> relu -> inner(width = 8) }
net N { input x: 3x8x8; outer }"""
    (mistake,) = find(text)
    assert [frame.call for frame in mistake.frame.chain()] == ["inner(width = 8)", "outer", "N"]


def test_both_origins_of_a_join(find):
    (mistake,) = find("net N {\n input x: 3x8x8\n conv 4 k1 as a -> relu\n conv 8 k1 -> add(a, it)\n}")
    assert {label.span.line for label in mistake.secondary} == {3, 4}


def test_a_residual_body_without_padding_shows_where_the_border_went(find):
    (mistake,) = find("net N {\n input x: 64x56x56\n skip {\n  conv 64 k3 -> relu\n  conv 64 k3 p1\n }\n}")
    assert mistake.code == "E0302"
    assert "it is 64x56x56, F(it) is 64x54x54" in mistake.primary.text
    (place,) = mistake.secondary
    assert (place.span.line, place.text) == (4, "56x56 becomes 54x54")


@pytest.mark.parametrize(
    "text",
    [
        "block a { a }\nnet N { input x: 3x8x8; a }",
        "block a { b }\nblock b { relu -> a }\nnet N { input x: 3x8x8; a }",
    ],
)
def test_a_block_that_uses_itself(find, text):
    (mistake,) = find(text)
    assert mistake.code == "E0403"


def test_inputs_of_blocks(find):
    (mistake,) = find("block b { input m; add(it, m) }\nnet N { input x: 3x8x8; b }")
    assert (mistake.code, mistake.primary.span.line) == ("E0205", 2)
    (mistake,) = find("block b { input m; add(it, m) }\nnet N { input x: 3x8x8; b(n=x) }")
    assert mistake.code == "E0206"
    assert "`m`" in mistake.help or "`m`" in mistake.message


def test_a_tensor_as_a_block_s_parameter_gets_the_mend(find):
    (mistake,) = find("block b { relu }\nnet N { input x: 3x8x8; b(x) }")
    assert (mistake.code, mistake.help) == ("E0204", "a block works on the tensor before it: `x -> b`")


def test_shared_layers_keep_the_first_call_s_shapes(find):
    (mistake,) = find(
        "net N { input x: 3x8x8; input y: 5x8x8; share c = conv 4 k1; let a = c(x); let b = c(y); add(a, b) }"
    )
    assert "first call" in mistake.message


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("repeat 1000000000000 { conv 3 k1 -> relu }", "E0904"),
        ("repeat 1000000000000 { let n = 1 }", "E0908"),
        ("repeat 1000 { repeat 1000 { repeat 1000 { relu } } }", "E0904"),
        ("repeat 1000 { repeat 1000 { repeat 1000 { let n = 1 } } }", "E0908"),
        ("repeat 60000 { relu -> tanh }", "E0904"),
        ("for i in range(3000) { relu as e[i] -> add(e) }", "E0904"),
        ("let a = range(50000)\n repeat 100000 { assert max(a) > 0 }", "E0909"),
        ("for i in range(99999) { let b = range(99999) }", "E0909"),
        ("for i in range(99999) { let b = [1] * 99999 }", "E0909"),
        ("repeat 119999 { let a = 1; let b = 2; let c = 3 }", "E0908"),
        ("let n = range(10 ** 12)\n conv n k1", "E0909"),
        ("let n = [0] * 10 ** 12\n conv n k1", "E0909"),
        ("conv 10 ** 10 ** 10 k1", "E0910"),
        ("conv 2 ** 60 k1", "E0905"),
        ("upsample s=2 ** 30", "E0905"),
        ("param w: 1x1x1x1x1x1x1x1x1 = 0\n add(it, w)", "E0911"),
    ],
)
def test_limits_are_met_in_time(find, body, code):
    with within(2):
        errors = [d for d in find(f"net N {{ input x: 3x8x8\n {body} }}") if d.severity.value == "error"]
    assert [d.code for d in errors] == [code]


def test_blocks_that_double_meet_the_limit(find):
    blocks = "\n".join(f"block b{i} {{ b{i + 1} -> b{i + 1} }}" for i in range(60))
    (mistake,) = find(f"{blocks}\nblock b60 {{ if false {{ relu }} }}\nnet N {{ input x: 3x8x8; b0 }}")
    assert mistake.code == "E0908"


def test_limits_can_be_raised(build):
    graph = build("net N { input x: 3x8x8; repeat 200 { relu } }", limits=Limits(layers=200))
    assert len(graph.nodes) == 200


WARNINGS = [
    ("pool max k3", "W0001"),
    ("conv 8 k4 same", "W0002"),
    ("let unused = x -> relu\n conv 8 k1", "W0003"),
]


@pytest.mark.parametrize(("body", "code"), WARNINGS)
def test_warnings(find, body, code):
    assert [d.code for d in find(f"net N {{ input x: 3x8x8\n {body} }}")] == [code]


def test_what_is_used_is_not_warned_of(find):
    text = """block b(width, act = relu) { conv width k1 as inner -> act as left -> tanh; concat(it, left) }
net N(n = 2) {
  input x: 3x8x8
  for i in range(n) { b(4) as y }
  conv 4 k1 as last
}"""
    assert find(text) == ()


def test_what_only_the_side_not_taken_mentions_is_used(find):
    text = """block b(deep, width, act = relu) {
  let half = width // 2
  if deep { conv half k1 -> act } else { tanh }
  skip when=(deep) { relu } via { conv width k1 }
}
net N { input x: 3x8x8; b(false, 6) }"""
    assert find(text) == ()


def test_a_hidden_built_in_is_warned_of(find):
    assert [d.code for d in find("block relu { tanh }\nnet N { input x: 3x8x8; relu }")] == ["W0004"]


def test_another_net_is_no_step(find):
    (mistake,) = find("net N { input x: 3x8x8; M }\nnet M { input x: 3x8x8; relu }")
    assert (mistake.code, "is a net" in mistake.message) == ("E0211", True)


def test_what_failed_is_not_shown_as_a_value(find):
    mistakes = find("block d(m) { cnov }\nnet N { input x: 3x8x8\n let q = zork\n d(q) }")
    assert [frame.call for frame in mistakes[0].frame.chain()] == ["d(m = ?)", "N"]


def test_a_block_takes_a_family_as_a_whole(find):
    text = "block b { input e[1]; add(it, e[1]) }\nnet N { input x: 3; x as e[1]; b(e=e) }"
    (mistake,) = [d for d in find(text) if d.severity.value == "error"]
    assert mistake.code == "E0211"
    assert "`input e`" in (mistake.help or "")


@pytest.mark.parametrize(("word", "path"), spellings.STANDARD.items())
def test_the_standard_library_has_the_blocks_that_help_speaks_of(find, word, path):
    (mistake,) = find(f"net N {{\n input x: 4x8x8\n {word}(4)\n}}")
    assert (mistake.code, mistake.help) == ("E0201", f'`use "{path}"` above the net brings it')
    assert re.search(rf"^block {word}\b", (Path(netdsl.__file__).parent / path).read_text("utf-8"), re.MULTILINE)
