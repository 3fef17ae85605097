"""`each`: its body sees rows; what crosses its border; what it counts."""

from __future__ import annotations

import numpy as np
import pytest

import netdsl

ROWS = "net N { input x: 5x3x8x8; "


def types(graph):
    return {node.name: str(node.outputs[0].type) for node in graph.nodes}


def test_the_body_sees_the_rest_of_the_shape(build):
    graph = build(ROWS + "each { conv 4 k3 : 4x6x6 -> pool max k2 } : 5x4x3x3 }".replace(" ->", "\n"))
    assert types(graph) == {
        "each.rows": "f32[N*5,3,8,8]",
        "conv": "f32[N*5,4,6,6]",
        "pool": "f32[N*5,4,3,3]",
        "each": "f32[N,5,4,3,3]",
    }


def test_weights_are_named_as_if_it_were_not_there(build):
    graph = build(ROWS + "each { conv 4 k3 -> each { flatten -> fc 2 } } as heads\n each { flatten -> fc 3 as last } }")
    names = [parameter.value.name for parameter in graph.parameters if parameter.value.name.endswith("weight")]
    assert names == ["conv.weight", "fc.weight", "last.weight"]
    assert [node.name for node in graph.nodes if node.op.word == "regroup"] == ["each2", "heads", "each3"]


def test_bodies_nest(build):
    graph = build(ROWS + "each { each { flatten -> fc 7 : 7 } : 3x7\n mean axis=[0] } : 5x7 }".replace(" : 7 }", " }"))
    assert types(graph)["fc"] == "f32[N*15,7]"
    assert graph.outputs[0].type.shape == (5, 7)


def test_branches_skips_loops_blocks_and_shared_layers_work_inside(build):
    text = (
        "block unit(width) { skip { conv width k3 p1 -> relu } via { conv width k1 } }\n"
        + ROWS
        + "share head = conv 2 k1\n"
        + "each { repeat 2 { unit(4) }\n concat { | it | conv 3 k1 }\n if channels == 7 { relu }\n head } as a\n"
        + "each { head }\n add(it, a) }"
    ).replace("conv 2 k1\n", "conv 7 k1\n")
    assert build(text).outputs[0].type.shape == (5, 7, 8, 8)


def test_what_does_not_depend_on_the_sample_may_be_read_inside(build):
    graph = build(ROWS + "param gain: 3x1x1 = 0.5\n each { mul(it, gain) } }")
    assert graph.outputs[0].type.shape == (5, 3, 8, 8)


def test_names_set_inside_live_inside(find):
    (mistake,) = find(ROWS + "each { relu as inner -> tanh }\n add(it, inner) }")
    assert (mistake.code, "inner" in mistake.message) == ("E0202", True)


@pytest.mark.parametrize(
    ("body", "code", "part"),
    [
        ("let y = take 0\n each { add(it, y) }", "E0303", "inside and outside of `each`"),
        ("flatten -> each { relu }", "E0301", "has one axis"),
        ("param p: 3x4 = 1\n p -> each { relu } -> add(it, x)", "E0301", "weights alone"),
        ("each { x -> relu }", "E0207", "from outside it"),
        ("for i in [1, 2] { relu as e[i] }\n e -> each { relu }", "E0207", "here is a family"),
        ("each { relu as e[1]\n e }", "E0207", "here is a family"),
        ("each { relu as e[1] }\n output e", "E0207", "made inside `each`"),
        ("each { flatten -> fc 1000000000 -> fc 1000000000 }", "E0905", "elements"),
    ],
)
def test_what_it_refuses(find, body, code, part):
    found = [item for item in find(ROWS + body + " }") if item.severity.value == "error"]
    assert [(item.code, part in item.message) for item in found] == [(code, True)], found


def test_a_dropped_one_is_reported(find):
    found = find(ROWS + "each { relu }\n x -> tanh }")
    assert [item.code for item in found] == ["E0208"]


def test_it_costs_as_much_as_its_body_does_on_so_many_samples(tmp_path):
    body = "conv 4 k3 -> relu -> flatten -> fc 10"
    (tmp_path / "rows.net").write_text(f"net A {{ input x: 6x3x9x9; each {{ {body} }} }}")
    (tmp_path / "batch.net").write_text(f"net A {{ input x: 3x9x9; {body} }}")
    rows = netdsl.load(tmp_path / "rows.net").summary().to_dict()
    batch = netdsl.load(tmp_path / "batch.net").summary(batch=6).to_dict()
    for key in ("params", "macs", "flops", "weight_bytes", "depth"):
        assert rows["totals"][key] == batch["totals"][key], key
    keys = ("name", "output_shape", "macs", "flops", "activation_bytes", "receptive_field", "stride")
    inside = [[layer[key] for key in keys] for layer in rows["layers"][1:-1]]
    assert inside == [[layer[key] for key in keys] for layer in batch["layers"]]
    assert [layer["rows"] for layer in rows["layers"]] == [6] * 5 + [1]
    assert "6 * 4x7x7" in str(netdsl.load(tmp_path / "rows.net").summary())


def test_it_computes_what_its_body_computes_of_each(tmp_path):
    body = "skip { conv 3 k3 p1 -> bn -> relu } -> pool max k2 -> flatten -> fc 4"
    (tmp_path / "rows.net").write_text(f"net A {{ input x: 6x3x9x7; each {{ {body} }} }}")
    (tmp_path / "batch.net").write_text(f"net A {{ input x: 3x9x7; {body} }}")
    rows, batch = netdsl.load(tmp_path / "rows.net"), netdsl.load(tmp_path / "batch.net")
    weights = batch.init_weights(seed=0)
    assert rows.init_weights(seed=0).keys() == weights.keys()
    x = np.random.default_rng(0).standard_normal((2, 6, 3, 9, 7)).astype(np.float32)
    wanted = np.stack([batch.run(sample, weights) for sample in x])
    assert np.array_equal(rows.run(x, weights), wanted)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_share_the_rows_of_one_sample(tmp_path, threads):
    body = (
        "conv 24 k3 p1 -> relu -> conv 8 k3 p1 g2 -> conv 8 k3 p1 g8 -> conv 24 k3 p1 -> conv 12 k1 -> flatten -> fc 5"
    )
    (tmp_path / "rows.net").write_text(f"net A {{ input x: 5x3x9x7; each {{ {body} }} }}")
    net = netdsl.load(tmp_path / "rows.net")
    weights = net.init_weights(seed=0)
    x = np.random.default_rng(0).standard_normal((1, 5, 3, 9, 7)).astype(np.float32)
    module = {}
    exec(net.compile(backend="numpy").source, module)
    wanted = net.run(x, weights)
    assert abs(module["Model"](weights, threads=threads)(x) - wanted).max() <= 2e-5 * abs(wanted).max()
