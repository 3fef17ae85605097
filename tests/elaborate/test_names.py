"""Weight names are addresses in the text."""

from __future__ import annotations

import re

RESNET = """
block basic(width, stride = 1) {
  skip {
    conv width k3 s=stride p1 nobias -> bn -> relu
    conv width k3 p1 nobias -> bn
  } via { if channels != width or stride > 1 { conv width k1 s=stride nobias -> bn } }
  relu
}
block resnet(unit, depths) {
  conv 8 k3 p1 nobias -> bn -> relu
  for depth, width, stride in zip(depths, [8, 16], [1, 2]) {
    unit(width, stride)
    repeat depth - 1 { unit(width) }
  }
}
net Small { input image: 3x16x16; resnet(basic, DEPTHS) }
"""


def names(graph):
    return [parameter.value.name for parameter in graph.parameters]


def test_steps_are_words_with_ordinals_then_loop_indices(build):
    graph = build(RESNET.replace("DEPTHS", "[2, 3]"))
    assert names(graph)[:6] == [
        "resnet.conv.weight",
        "resnet.bn.weight",
        "resnet.bn.bias",
        "resnet.bn.running_mean",
        "resnet.bn.running_var",
        "resnet.unit.0.conv.weight",
    ]
    assert "resnet.unit2.1.1.conv2.weight" in names(graph)
    # The projection stands third in the block's text, wherever it is expanded.
    assert "resnet.unit.1.conv3.weight" in names(graph)


def test_one_more_unit_in_a_stage_renames_nothing(build):
    before = build(RESNET.replace("DEPTHS", "[2, 3]"))
    after = build(RESNET.replace("DEPTHS", "[3, 3]"))
    shapes = {p.value.name: p.value.type for p in after.parameters}
    assert all(shapes[p.value.name] == p.value.type for p in before.parameters)
    added = set(names(after)) - set(names(before))
    assert added
    assert all(name.startswith("resnet.unit2.0.1.") for name in added)


def test_as_replaces_the_word_and_keys_replace_the_indices(build):
    graph = build(
        """
        block pair(width) { repeat 2 { conv width k1 -> relu } }
        net N {
          input x: 3x8x8
          conv 4 k1 as stem -> relu
          for w in [4, 8] { pair(w) as e[w] -> conv w k1 as f -> relu }
          concat(e)
        }
        """
    )
    found = [name for name in names(graph) if name.endswith("weight")]
    assert found == [
        "stem.weight",
        "e.4.conv.0.weight",
        "e.4.conv.1.weight",
        "f.0.weight",
        "e.8.conv.0.weight",
        "e.8.conv.1.weight",
        "f.1.weight",
    ]


def test_counting_runs_through_branches_ifs_loops_and_skips(build):
    graph = build(
        """
        net N {
          input x: 4x8x8
          conv 4 k1 -> relu
          if training { conv 4 k1 -> relu }
          skip { conv 4 k1 } via { conv 4 k1 }
          add { | conv 4 k1 | repeat 2 { relu -> conv 4 k1 } }
        }
        """
    )
    found = [name for name in names(graph) if name.endswith("weight")]
    assert found == ["conv.weight", "conv3.weight", "conv4.weight", "conv5.weight", "conv6.0.weight", "conv6.1.weight"]


def test_a_word_that_ends_in_a_digit_gets_an_underscore(build):
    graph = build(
        """
        block unit2 { conv 4 k1 -> relu }
        net N { input x: 4x8x8; unit2 -> unit2 }
        """
    )
    assert [name for name in names(graph) if name.endswith("weight")] == ["unit2.conv.weight", "unit2_2.conv.weight"]


def test_param_and_share_use_their_own_names(build):
    graph = build(
        """
        block head(width) { conv width k1 -> relu -> conv width k1 }
        block gate { param gamma: channels x 1 x 1 = 1e-6; mul(it, gamma) }
        net N {
          input x: 4x8x8
          share box = head(4)
          repeat 2 { gate }
          box as a -> relu -> box
          add(a)
        }
        """
    )
    assert names(graph) == [
        "gate.0.gamma",
        "gate.1.gamma",
        "box.conv.weight",
        "box.conv.bias",
        "box.conv2.weight",
        "box.conv2.bias",
    ]
    nodes = {node.name: node for node in graph.nodes}
    assert nodes["box2.conv"].shared == "a.conv"
    assert nodes["a.conv"].shared is None
    assert nodes["box2.conv"].weights == nodes["a.conv"].weights


def test_a_name_changes_no_other_layer_s(build):
    plain = build("net N { input x: 4x8x8; conv 4 k1 -> relu -> conv 4 k1 -> relu -> conv 4 k1 }")
    named = build("net N { input x: 4x8x8; conv 4 k1 -> relu -> conv 4 k1 as middle -> relu -> conv 4 k1 }")
    assert [re.sub("middle", "conv2", name) for name in names(named)] == names(plain)


def test_two_equal_names_are_an_error_at_both_places(find):
    (mistake,) = find("net N {\n input x: 4x8x8\n conv 4 k1 as conv2 -> relu\n conv 4 k1 -> relu -> conv 4 k1\n}")
    assert mistake.code == "E0209"
    assert (mistake.primary.span.line, mistake.secondary[0].span.line) == (4, 3)
    assert "as name" in mistake.help
