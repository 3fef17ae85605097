"""The twelve rules, one by one, on graphs."""

from __future__ import annotations

import pytest

from netdsl.ops.base import Init


def words(graph):
    return [node.op.word for node in graph.nodes]


def shapes(graph):
    return [value.type.shape for value in graph.outputs]


def results(graph):
    return [name for name, _ in graph.results]


def test_an_arrow_and_a_new_line_both_chain(build):
    one = build("net N { input x: 3x8x8; conv 4 k3 -> relu -> flatten }")
    two = build("net N {\n input x: 3x8x8\n conv 4 k3\n relu ->\n flatten\n}")
    assert words(one) == words(two) == ["conv", "relu", "flatten"]


def test_pooling_s_stride_is_its_kernel(build):
    assert shapes(build("net N { input x: 3x9x9; pool max k3 }")) == [(3, 3, 3)]


@pytest.mark.parametrize(
    ("step", "shape"),
    [
        ("conv 4 k3x5", (4, 7, 5)),
        ("conv 4 k=3 s=2 p=1", (4, 5, 5)),
        ("conv 4 kernel=3 stride=2 padding=1", (4, 5, 5)),
        ("conv 4 k3 same", (4, 9, 9)),
        ("conv 4 k3 p=[0, 1, 2, 3]", (4, 9, 11)),
        ("conv 4 k1x7 p0x3", (4, 9, 9)),
        ("upconv 4 k3 s2 outpad=1x0", (4, 20, 19)),
        ("pool avg global", (3, 1, 1)),
        ("pool avg to=3x3", (3, 3, 3)),
        ("pool max k2 ceil", (3, 5, 5)),
        ("pool max k2 ceil=false", (3, 4, 4)),
        ("upsample s2", (3, 18, 18)),
        ("upsample bilinear to=7x7", (3, 7, 7)),
        ("slice 1 3", (2, 9, 9)),
        ("slice start=-2 stop=3", (2, 9, 9)),
        ("reshape to=[9, 27]", (9, 27)),
        ("transpose order=[2, 0, 1]", (9, 3, 9)),
        ("mean axis=[1, 2]", (3,)),
    ],
)
def test_values_and_attributes(build, step, shape):
    assert shapes(build(f"net N {{ input x: 3x9x9; {step} }}")) == [shape]


def test_a_flag_by_value_and_a_field_by_name(build):
    for text in ("nobias", "nobias=true", "bias=false", "nobias=(1 < 2)"):
        graph = build(f"net N {{ input x: 3x9x9; conv 4 k1 {text} }}")
        assert [parameter.value.name for parameter in graph.parameters] == ["conv.weight"], text


def test_one_operand_left_out_is_it(build):
    graph = build("net N { input x: 4x6x6; input y: 4x10x10; crop(y) -> sub(x) -> mul(x, it) }")
    crop, sub, mul = graph.nodes
    assert [v.name for v in crop.inputs] == ["y"]
    assert crop.op.padding == (2, 2, 2, 2)
    assert [v.name for v in sub.inputs] == ["crop", "x"]
    assert [v.name for v in mul.inputs] == ["x", "sub"]


def test_several_results_are_all_named_and_it_is_the_first(build):
    graph = build("net N { input x: 4x8x8; pool max k2 indices as y, at; relu -> unpool(at) k2 }")
    assert words(graph) == ["pool", "relu", "unpool"]
    assert graph.nodes[1].inputs[0] is graph.nodes[0].outputs[0]
    assert graph.nodes[2].inputs[1] is graph.nodes[0].outputs[1]


def test_let_stands_aside(build):
    graph = build(
        "net N { input x: 4x8x8; let wide = 2 * channels; let side = x -> conv wide k1; conv 8 k1 -> add(side) }"
    )
    assert words(graph) == ["conv", "conv", "add"]
    assert graph.nodes[1].inputs[0].name == "x"


def test_families_are_looped_over_passed_joined_and_output(build):
    graph = build(
        """
        block both { input xs; let total = add(xs); total -> relu }
        net N {
          input x: 4x8x8
          for i in range(3) { x -> conv 4 k1 as e[i] }
          for i, t in enumerate(e) { let f[i] = t -> relu }
          both(xs=[e[0], e[2]]) as g
          output f, g
        }
        """
    )
    assert results(graph) == ["f.0", "f.1", "f.2", "g"]
    assert len(graph.nodes[-2].inputs) == 2


def test_part_of_a_family_s_keys_selects_a_family(build):
    graph = build(
        """
        net N {
          input x: 4x8x8
          for i in [0, 1] { for j in [0, 1, 2] { let t[i, j] = x -> conv 4 k1 } }
          let top = add(t[1])
          output top, t
        }
        """
    )
    top = dict(graph.results)["top"]
    (add,) = [node for node in graph.nodes if node.outputs[0] is top]
    assert [value.name for value in add.inputs] == ["conv.1.0", "conv.1.1", "conv.1.2"]
    assert results(graph)[1:] == ["t.0.0", "t.0.1", "t.0.2", "t.1.0", "t.1.1", "t.1.2"]


def test_a_block_may_take_and_give_a_family(build):
    graph = build(
        """
        block swap { it as p; let q[0] = p[1] -> relu; let q[1] = p[0] -> relu; q }
        net N {
          input x: 4x8x8
          for i in [0, 1] { x -> conv 4 k1 as e[i] }
          e -> repeat 2 { swap }
        }
        """
    )
    assert results(graph) == ["output.0", "output.1"]
    assert len(graph.nodes) == 6


def test_branches_and_skip(build):
    graph = build(
        """
        net N(wide = true) {
          input x: 4x8x8
          concat { | conv 2 k1 | conv 6 k3 p1 -> relu | it }
          skip { conv 12 k3 p1 }
          skip when=(not wide) { conv 24 k1 }
          skip { conv 6 k1 } via { conv 6 k1 }
        }
        """
    )
    assert words(graph) == ["conv", "conv", "relu", "concat", "conv", "add", "conv", "conv", "conv", "add"]
    assert shapes(graph) == [(6, 8, 8)]


def test_blocks_take_numbers_lists_booleans_words_and_blocks(build):
    graph = build(
        """
        block cba(width, act, k = 1) { conv width k=k same -> act }
        block stage(unit, widths, act) { for w in widths { unit(w, act, k = 3) } }
        net N { input x: 3x8x8; stage(cba, [4, 8], silu) }
        """
    )
    assert words(graph) == ["conv", "silu", "conv", "silu"]


def test_parameters_are_set_from_outside(build):
    text = 'net N(width = 4, act = relu, shape = "map") { input x: 3x8x8; conv width k1 -> act; if shape == "vector" { flatten } }'  # noqa: E501
    graph = build(text, settings={"width": 8, "shape": "vector"}, shapes={"x": (3, 4, 4)})
    assert shapes(graph) == [(128,)]


def test_training_is_a_boolean(build):
    text = "net N { input x: 3x8x8; conv 4 k1 as y; if training { let aux = y -> relu }; output y; if training { output aux } }"  # noqa: E501
    assert results(build(text)) == ["y"]
    assert results(build(text, training=True)) == ["y", "aux"]


def test_a_tensor_stands_for_its_extents(build, find):
    graph = build(
        """
        net N {
          input x: 3x9x7
          pool max k2 indices as small, at
          conv 8 k3 p1 -> upsample bilinear to=x : 8x9x7
          pool avg to=small : 8x4x3
          crop to=small
          conv 3 k1 -> add(it, small) -> unpool(at) k2 to=x -> concat(it, x) : 6x9x7
          upsample to=small.height : 6x4x4
        }
        """
    )
    assert shapes(graph) == [(6, 4, 4)]
    for wrong in ("reshape to=x", "conv 4 k=x", "pool avg to=v"):
        (found, *_) = find(f"net N {{ input x: 3x9x7; input v: 5; {wrong} }}")
        assert found.code == "E0204"


def test_extents_are_values_and_a_block_may_be_the_identity(build):
    graph = build(
        """
        block same { it }
        block line(k, act) { conv 4 k=k same nobias -> act }
        net N { input x: 3x8x8; line(1x7, same) -> line(7x1, relu) }
        """
    )
    assert [node.op.kernel for node in graph.nodes[:2]] == [(1, 7), (7, 1)]
    assert words(graph) == ["conv", "conv", "relu"]


def test_shapes_in_expressions(build):
    graph = build(
        """
        net N {
          input x: 6x8x10
          assert channels == 6 and it.height == 8 and x.width == 10 and it.size == 480
          tokens
          assert features == 6 and length == 80
          fc features // 2 : ? x 3
        }
        """
    )
    assert shapes(graph) == [(80, 3)]


def test_rounding_is_mobilenet_s(build):
    text = "net N { input x: 3x8x8; conv round(%s) k1 }"
    assert [shapes(build(text % value))[0][0] for value in ("8.4, 8", "12, 8", "11, 8", "3, 8", "2.5")] == [
        8,
        16,
        16,
        8,
        3,
    ]


def test_used_files_bring_their_blocks_and_keep_their_own(build):
    graph = build(
        """
        use "lib/a.net"
        block inner { sigmoid }
        net N { input x: 3x8x8; outer -> inner }
        """,
        used={"lib/a.net": "block inner { tanh }\nblock outer { inner -> relu }"},
    )
    assert words(graph) == ["tanh", "relu", "sigmoid"]


def test_constants_of_the_network_join_samples(build):
    graph = build(
        "net N { input x: 4x8x8; param t: 4x1x1 = normal(0.02); param start: 2x8x8 = 0; concat(start, x) -> conv 4 k1 -> add(it, t) }"  # noqa: E501
    )
    assert [parameter.init for parameter in graph.parameters[:2]] == [Init("normal", 0.02), Init("constant", 0.0)]
    assert graph.outputs[0].type.batch == 1


@pytest.mark.parametrize("kind", ["int", "bool"])
@pytest.mark.parametrize("step", ["relu", "fc 3", "add(it, x)", "conv 2 k1", "softmax", "mean", "scale 2", "layernorm"])
def test_whole_numbers_and_truth_values_never_become_activations_by_themselves(find, kind, step):
    (found,) = find(f"net N {{ input words: {kind} 3x4; input x: 3x4; {step} }}")
    assert "expects real numbers" in found.message


def test_a_table_is_read_by_whole_numbers_alone(find):
    (found,) = find("net N { input x: 4; embed 9 3 }")
    assert "expects whole numbers" in found.message
    assert "int length" in found.help


def test_integer_and_boolean_inputs(build):
    graph = build("net N { input words: int 16; input mask: bool 16; input x: 4; relu(x); output words, mask, it }")
    assert [value.type.dtype.label for value in graph.inputs] == ["int64", "bool", "float32"]


SHARED_TABLE = """
net N {
  input source: int 5
  input target: int 7
  input hidden: bool 5
  share words = embed 11 8
  let memory = words(source)
  words(target) -> attention heads=2 causal -> attention(memory, mask=hidden) heads=4
  fc 11 tied=words
}
"""


def test_a_tied_layer_uses_the_weight_of_a_shared_one(build):
    graph = build(SHARED_TABLE)
    names = [parameter.value.name for parameter in graph.parameters]
    assert names[0] == "words.weight"
    assert not any(name.startswith("fc") for name in names)
    last = graph.nodes[-1]
    assert last.inputs[1] is graph.parameters[0].value
    assert len(last.inputs) == 2
    assert last.shared


@pytest.mark.parametrize("wrong", ["tied=5", "tied=x", "tied=mean"])
def test_a_tied_layer_names_a_shared_one(find, wrong):
    (found,) = find(f"net N {{ input x: 4; fc 3 {wrong} }}")
    assert found.code == "E0204"
    assert "one shared layer" in found.message


def test_a_tied_layer_of_other_extents_is_refused(find):
    (found,) = find("net N { input w: int 4; share t = embed 9 3; t(w) -> fc 8 tied=t }")
    assert "words" not in found.message
    assert "9x3" in found.message


def test_attention_begins_with_it_and_takes_its_mask_by_name(build):
    graph = build(SHARED_TABLE)
    alone, across = (node for node in graph.nodes if node.op.word == "attention")
    assert [value.name for value in across.operands[1:]] == [across.operands[1].name, "hidden"]
    assert across.operands[0] is alone.outputs[0]
    assert across.operands[1].type.shape == (5, 8)
    assert [weight.name.partition(".")[2] for weight in across.weights] == [
        "in_proj_weight",
        "in_proj_bias",
        "out_proj.weight",
        "out_proj.bias",
    ]


def test_attention_says_what_does_not_fit(find):
    for step, said in (
        ("attention heads=3", "heads=3 does not divide its 8 features"),
        ("attention(masc=h)", "it takes none by the name `masc`"),
        ("attention(mask=h, mask=h)", "`mask` twice"),
        ("attention(mask=short)", "the mask has a value for each of 5 keys"),
    ):
        found = find(f"net N {{ input x: 5x8; input h: bool 5; input short: bool 4; {step} }}")
        assert any(said in item.message for item in found), (step, [item.message for item in found])


def test_inputs_may_be_a_family(build):
    graph = build(
        "net N { for n in [2, 4] { input e[n]: 3 x n x n }; e[4] -> pool max k2 -> add(e[2]) as y; output y }"
    )
    assert [(value.name, value.type.shape) for value in graph.inputs] == [("e.2", (3, 2, 2)), ("e.4", (3, 4, 4))]
    assert shapes(graph) == [(3, 2, 2)]


def test_the_first_of_a_family_of_inputs_is_what_a_net_starts_from(build):
    graph = build("net N { for n in [2, 4] { input e[n]: n }; relu -> concat(e[4]) }")
    assert graph.nodes[0].inputs == graph.inputs[:1]
