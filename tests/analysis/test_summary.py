"""What is counted, and how it is shown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import netdsl
from netdsl.analysis import table
from netdsl.analysis.summary import Summary, summarise
from netdsl.ir.build import GraphBuilder
from netdsl.ops.base import ZEROS
from netdsl.ops.conv import Conv
from netdsl.ops.elementwise import Add, Mul
from netdsl.tensor import DType, TensorType

EXAMPLES = Path(__file__).parents[2] / "examples"
Make = Callable[..., Summary]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def summary(body: str, before: str = "", size: str = "3x8x8", **options: Any) -> Summary:
        (tmp_path / "a.net").write_text(f"{before}net A {{\n  input image: {size}\n{body}\n}}\n")
        return summarise(netdsl.load(tmp_path / "a.net").graph, **options)

    return summary


def test_the_fields_of_the_json() -> None:
    document = netdsl.load(EXAMPLES / "resnet.net", net="ResNet18").summary().to_dict()
    assert document == json.loads(json.dumps(document))
    assert document["schema_version"] == 1
    assert (document["net"], document["batch"], document["dtype"]) == ("ResNet18", 1, "float32")
    assert document["inputs"] == [{"name": "image", "shape": [3, 224, 224]}]
    assert [output["shape"] for output in document["outputs"]] == [[1000]]
    assert set(document["totals"]) == {
        *("layers", "depth", "params", "trainable_params", "buffers", "macs", "flops"),
        *("weight_bytes", "largest_activation", "peak_activation_bytes"),
    }
    first = document["layers"][0]
    assert set(first) == {
        *("name", "op", "attributes", "inputs", "input_shapes", "output_shape"),
        *("rows", "params", "buffers", "macs", "flops"),
        *("weight_bytes", "activation_bytes", "receptive_field", "stride", "origin", "shares", "span"),
    }
    assert first["op"] == "conv"
    assert first["attributes"]["kernel"] == [7, 7]
    assert first["inputs"] == ["image"]
    assert first["shares"] is None
    assert first["origin"] == "resnet"
    assert first["span"]["file"].endswith("resnet.net")
    assert document["totals"]["layers"] == len(document["layers"])
    for key in ("params", "buffers", "macs", "flops", "weight_bytes"):
        assert document["totals"][key] == sum(row[key] for row in document["layers"]), key


def test_a_batch_multiplies_work_and_activations_but_not_weights(make: Make) -> None:
    body = "  conv 4 k3 p1 -> bn -> relu -> flatten -> fc 10"
    one, five = make(body).totals, make(body, batch=5).totals
    assert (five.params, five.buffers, five.weight_bytes, five.depth) == (
        one.params,
        one.buffers,
        one.weight_bytes,
        one.depth,
    )
    for key in ("macs", "flops", "largest_activation", "peak_activation_bytes"):
        assert getattr(five, key) == 5 * getattr(one, key)


def test_bytes_follow_the_dtype(make: Make) -> None:
    body = "  conv 4 k3 p1 -> relu"
    full, half = make(body), make(body, dtype=DType.FLOAT16)
    assert half.totals.weight_bytes * 2 == full.totals.weight_bytes == 4 * (4 * 3 * 9 + 4)
    assert half.totals.peak_activation_bytes * 2 == full.totals.peak_activation_bytes == 4 * (4 + 4) * 64
    assert half.rows[0].activation_bytes == 2 * 4 * 64


def test_peak_memory_by_hand(make: Make) -> None:
    # The input (192), what is added later (256), and at the widest step a map of 16 x 64 before and after relu.
    body = "  conv 4 k1 as keep -> conv 16 k1 -> relu -> conv 4 k1\n  add(keep, it)"
    assert make(body).totals.peak_activation_bytes == 4 * (256 + 2 * 16 * 64)


def test_shared_weights_count_once(make: Make) -> None:
    summary = make("  share head = conv 3 k3 p1\n  head as a -> head as b -> head as c")
    assert [row.params for row in summary.rows] == [84, 0, 0]
    assert [row.shares for row in summary.rows] == [None, "a", "a"]
    assert [row.macs for row in summary.rows] == [3 * 3 * 9 * 64] * 3
    assert (summary.totals.params, summary.totals.depth) == (84, 3)


def test_declared_parameters_count_where_they_are_used(make: Make) -> None:
    summary = make("  param gamma: 3 x 1 x 1 = 1e-6\n  mul(it, gamma) -> mul(it, gamma)")
    assert [row.params for row in summary.rows] == [3, 0]
    assert summary.rows[0].inputs == ("image", "gamma")


def test_what_does_not_depend_on_the_sample_is_computed_once() -> None:
    builder = GraphBuilder("A")
    x = builder.input("x", TensorType((3,)))
    first, second = (builder.parameter(name, (3,), ZEROS) for name in ("first", "second"))
    (both,) = builder.node(Mul(), (first, second), name="both")
    (y,) = builder.node(Add(), (x, both), name="y")
    summary = summarise(builder.result("y", y).finish(), batch=10)
    assert [row.flops for row in summary.rows] == [3, 30]


def test_depth_is_the_longest_way_to_an_output(make: Make) -> None:
    summary = make(
        "  concat { | conv 2 k1 -> conv 2 k1 -> conv 2 k1 | conv 2 k1 } -> upconv 2 k2 s2 -> flatten -> fc 3"
    )
    assert summary.totals.depth == 5


def test_counting_allocates_nothing(make: Make) -> None:
    assert make("  flatten -> fc 13334", size="3x200x200").totals.params == 13334 * (120_000 + 1)


def test_rows_of_a_folded_net_add_up(make: Make) -> None:
    before = "block b(w) { conv w k3 p1 -> bn -> relu }\nblock a(w) { b(w) -> b(w) }\n"
    body = "  a(4)\n  repeat 2 { a(8) }\n  flatten -> fc 10"
    flat, folded, twice = (make(body, before, depth=depth) for depth in (None, 1, 2))
    assert [row.name for row in folded.rows] == ["a", "a2.0", "a2.1", "flatten", "fc"]
    assert [row.text for row in folded.rows[:2]] == ["a(w = 4)", "a(w = 8)"]
    assert [row.name for row in twice.rows[:3]] == ["a.b", "a.b2", "a2.0.b"]
    assert [row._replace(span=None) for row in make(body, before, depth=3).rows] == [
        row._replace(span=None) for row in flat.rows
    ]
    for key in ("params", "buffers", "macs", "flops", "weight_bytes", "activation_bytes"):
        sums = {sum(getattr(row, key) for row in summary.rows) for summary in (flat, folded, twice)}
        assert len(sums) == 1, key
    assert folded.totals == flat.totals
    assert folded.kinds == flat.kinds
    assert folded.rows[1].inputs == ("a.b2.relu",)
    assert folded.rows[1].output_shape == (8, 8, 8)


def test_a_call_that_holds_the_whole_net_is_no_level() -> None:
    summary = netdsl.load(EXAMPLES / "resnet.net", net="ResNet50").summary(depth=1)
    assert [row.name for row in summary.content.rows][4:6] == ["resnet.unit.0", "resnet.unit2.0.0"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("conv 8 k3", "conv 8 k3"),
        ("conv 8 k3x5 s2 p1x2 nobias", "conv 8 k3x5 s2 p1x2 nobias"),
        ("conv 6 k3 p1 d1 g3", "conv 6 k3 p1 g3"),
        ("conv 8 k4 same", "conv 8 k4 p1x1x2x2"),
        ("pool max k2", "pool max k2"),
        ("pool avg k3 s2 p1 ceil nocountpad", "pool avg k3 s2 p1 ceil nocountpad"),
        ("pool avg global", "pool avg global"),
        ("leakyrelu 0.2", "leakyrelu 0.2"),
        ("bn", "bn"),
        ("bn eps=0.001 noaffine", "bn eps=0.001 noaffine"),
        ("flatten", "flatten"),
        ("groupnorm g3", "groupnorm g3"),
        ("upsample bilinear s2", "upsample bilinear to=16"),
        ("softmax axis=0", "softmax axis=0"),
        ("mean axis=[1, 2]", "mean axis=[1, 2]"),
    ],
)
def test_operators_are_shown_as_they_are_written(make: Make, written: str, shown: str) -> None:
    assert make(f"  {written}").rows[0].text == shown


# Tables.


def test_the_table_gives_way_but_never_cuts() -> None:
    summary = netdsl.load(EXAMPLES / "resnet.net", net="ResNet50").summary().content
    whole = table.text(summary)
    for width in (200, 110, 100, 80, 20):
        narrow = table.text(summary, width)
        assert all(row.name in narrow and row.text in narrow for row in summary.rows)
        assert ("Left out" in narrow) == ("FLOPs  " not in narrow.splitlines()[3] + "  ")
        if "Left out" not in narrow:
            assert narrow == whole
    assert "Left out for want of room: FLOPs, memory, field." in table.text(summary, 20)
    assert "25,557,032" in whole
    assert "4,089,184,256 (4.09 G)" in whole
    assert "MACs: multiply-accumulates" in whole
    assert not [line for line in whole.splitlines() if line != line.rstrip()]


def test_kinds_add_up_to_the_total() -> None:
    summary = netdsl.load(EXAMPLES / "resnet.net", net="ResNet50").summary().content
    for key in ("layers", "params", "macs", "flops"):
        assert sum(getattr(kind, key) for kind in summary.kinds) == getattr(summary.totals, key)
    assert [kind.op for kind in summary.kinds][:2] == ["conv", "fc"]


def test_csv_reads_back() -> None:
    summary = netdsl.load(EXAMPLES / "lenet5.net").summary().content
    rows = list(csv.DictReader(io.StringIO(table.csv(summary))))
    assert [(row["name"], int(row["macs"])) for row in rows] == [(row.name, row.macs) for row in summary.rows]
    assert rows[0]["receptive_field"] == "5x5"
    assert rows[1]["attributes"] == "relu"


def test_markdown_latex_and_html_hold_every_row(make: Make) -> None:
    summary = make("  conv 4 k3 as a_b -> relu")
    markdown, latex, html = table.markdown(summary), table.latex(summary), table.html(summary)
    assert "| a_b | conv 4 k3 | 4x6x6 | 112 |" in markdown
    assert r"a\_b & conv 4 k3 & $4\times 6\times 6$ & 112 &" in latex
    assert latex.count(r"\\") == 1 + len(summary.rows) + 1
    assert ">a_b</td>" in html
    assert html.count("<tr>") == 1 + len(summary.rows) + 1
    for text in (markdown, latex, html):
        assert "MACs: multiply-accumulates" in text


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_600, "1.00 MB"),
    ],
)
def test_bytes_have_three_figures(number: int, shown: str) -> None:
    assert table._bytes(number) == shown


# The library.


def test_the_library(tmp_path: Path) -> None:
    import numpy as np

    (tmp_path / "a.net").write_text(
        "net A(classes) {\n  input image: 1x28x28\n  conv 4 k5 s2 -> relu -> flatten -> fc classes\n}\n"
    )
    net = netdsl.load(tmp_path / "a.net", classes=7, shape={"image": (1, 32, 32)})
    assert net.summary().to_dict()["outputs"][0]["shape"] == [7]
    assert repr(net.summary()) + "\n" == table.text(net.summary().content)
    assert net.summary()._repr_html_().startswith("<table>")
    weights = net.init_weights(seed=3)
    image = np.zeros((2, 1, 32, 32), np.float32)
    assert net.run(image, weights).shape == (2, 7)
    assert np.array_equal(net.run(image=image, weights=weights), net.run(image, weights))
    with pytest.raises(netdsl.NetError) as caught:
        net.run(image[:, :, :9], weights)
    assert caught.value.diagnostics[0].code == "E0605"
    with pytest.raises(netdsl.NetError) as caught:
        net.run(image, image, weights)
    assert {str(d.code) for d in caught.value.diagnostics} == {"E0604"}
    artifact = net.compile()
    artifact.write(tmp_path / "a.py")
    assert (tmp_path / "a.py").read_text() == artifact.source


@pytest.mark.parametrize(
    ("keywords", "code"),
    [
        ({"net": "LeNet6"}, "E0611"),
        ({"clases": 7}, "E0613"),
        ({"shape": {"img": (1, 8, 8)}}, "E0614"),
        ({"classes": "many"}, "E0"),
        ({"classes": object()}, "E0"),
        ({"shape": {"image": ("x",)}}, "E0"),
        ({"shape": {"image": (1, -3, 8)}}, "E0"),
    ],
)
def test_mistakes_of_callers_are_diagnostics(keywords: dict[str, Any], code: str) -> None:
    with pytest.raises(netdsl.NetError) as caught:
        netdsl.load(EXAMPLES / "lenet5.net", **keywords)
    assert caught.value.diagnostics[0].code.startswith(code)


def test_unknown_backends_and_dtypes(tmp_path: Path) -> None:
    net = netdsl.load(EXAMPLES / "lenet5.net")
    for arguments, code in ((("tpu",), "E0701"), (("numpy", "float8"), "E0703"), (("numpy", "single"), "E0703")):
        with pytest.raises(netdsl.NetError) as caught:
            net.compile(*arguments)
        assert caught.value.diagnostics[0].code == code


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from netdsl import backends, extras

    def lacking(name: str) -> None:
        raise ModuleNotFoundError("No module named 'triton'", name="triton")

    monkeypatch.setattr(extras, "import_module", lacking)
    with pytest.raises(netdsl.NetError) as caught:
        backends.load("triton")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E0702"
    assert "netdsl[triton]" in (diagnostic.help or "")


def test_convolutions_of_the_lecture_are_counted_as_it_says() -> None:
    # CS231n: 3x32x32, ten 5x5 filters with stride 1 and pad 2.
    builder = GraphBuilder("A")
    x = builder.input("x", TensorType((3, 32, 32)))
    (y,) = builder.node(Conv(10, (5,), padding=(2,)), (x,), name="conv")
    (row,) = summarise(builder.result("y", y).finish()).rows
    assert (row.output_shape, row.params, row.macs) == ((10, 32, 32), 760, 768_000)
