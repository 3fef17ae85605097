"""What lectures and papers state about layers and networks, against what netdsl counts; their slips are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import netdsl
from netdsl import codes
from netdsl.cli.main import main

EXAMPLES = Path(__file__).parents[2] / "examples"
FIGURES = {
    entry["id"]: entry
    for entry in json.loads(Path(__file__).with_name("figures.json").read_text(encoding="utf-8"))["examples"]
}


def summary(entry: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = netdsl.load(str(EXAMPLES / entry["file"]), net=entry["net"]).summary().to_dict()
    return found


def weighted(table: dict[str, Any]) -> list[dict[str, Any]]:
    return [layer for layer in table["layers"] if layer["params"]]


@pytest.mark.parametrize("entry", FIGURES.values(), ids=lambda entry: entry["id"])
def test_the_exact_figures(entry: dict[str, Any]) -> None:
    table, exact = summary(entry), entry["exact"]
    assert table["outputs"][0]["shape"] == exact["out_shape"]
    assert table["totals"]["macs"] == exact["macs"]
    if "params" in exact:
        assert table["totals"]["params"] == exact["params"]
    if "activation_values_conv_pool_fc_and_input" in exact:
        kept = [layer for layer in table["layers"] if layer["op"] in ("conv", "pool", "fc")]
        values = sum(product(layer["output_shape"]) for layer in kept) + product(table["inputs"][0]["shape"])
        assert values == exact["activation_values_conv_pool_fc_and_input"]


@pytest.mark.parametrize("entry", FIGURES.values(), ids=lambda entry: entry["id"])
def test_where_the_source_is_right_it_states_the_exact_figures(entry: dict[str, Any]) -> None:
    """Slips (and roundings such as "144M") are explained in a note."""
    stated, exact = entry["stated"], entry["exact"]
    figures = [name for name in ("out_shape", "params", "macs") if not isinstance(stated.get(name, ""), str)]
    assert [stated[name] for name in figures] == [exact[name] for name in figures]
    assert entry["agrees"] or entry["note"]


def product(shape: list[int]) -> int:
    result = 1
    for extent in shape:
        result *= extent
    return result


def test_lenet5_s_table() -> None:
    """EECS 498-007, lecture 7: every row."""
    entry = FIGURES["lenet5-eecs498"]
    assert [layer["output_shape"] for layer in summary(entry)["layers"]] == entry["stated"]["shapes"]


def test_alexnet_s_rows() -> None:
    entry = FIGURES["alexnet-grouped-227"]
    layers = weighted(summary(entry))
    found = [[layer["params"], layer["params"] - layer["output_shape"][0], layer["macs"]] for layer in layers]
    assert found == [row[1:] for row in entry["exact"]["per_weighted_layer"]]


def test_alexnet_s_figure_counts_conv4_in_two_ways() -> None:
    """Its 1.3M weights are those of one tower, its 112M multiply-adds those of two."""
    conv4 = weighted(summary(FIGURES["alexnet-grouped-227"]))[3]
    weights = conv4["params"] - conv4["output_shape"][0]
    assert 2 * weights == 3 * 3 * 384 * 384 == 1_327_104
    assert conv4["macs"] == 112_140_288


def test_alexnet_s_neurons() -> None:
    """The paper's 253,440 are 55 x 48 x 96; the layer has 55 x 55 x 96."""
    entry = FIGURES["alexnet-neurons"]
    found = [product(layer["output_shape"]) for layer in weighted(summary(entry))]
    assert found == entry["exact"]["neurons"]
    wrong = [i for i, (a, b) in enumerate(zip(found, entry["stated"]["neurons"], strict=True)) if a != b]
    assert wrong == [0]
    assert entry["stated"]["neurons"][0] == 55 * 48 * 96


def test_alexnet_does_not_fit_224() -> None:
    """(224 - 11) / 4 + 1 is no whole number: 227 is what the paper's arithmetic needs. The shape that the text states
    is not met, and the warnings lead to the first layer."""
    with pytest.raises(netdsl.NetError) as caught:
        netdsl.load(str(EXAMPLES / "alexnet.net"), net="AlexNetTowers", shape={"image": (3, 224, 224)})
    error, first, *_ = caught.value.diagnostics
    assert (error.code, first.code) == (codes.SHAPE_CHECK, codes.WINDOW_DOES_NOT_FIT)
    assert "256x6x6" in error.message
    assert "224x224" in first.message


def test_resnet34_with_and_without_projections() -> None:
    """The paper's figure has identity shortcuts; three projections are the difference from its 3.6 billion."""
    table = summary(FIGURES["resnet34-paper"])
    projections = [layer["macs"] for layer in table["layers"] if layer["op"] == "conv" and ".project." in layer["name"]]
    assert len(projections) == 3
    assert round((table["totals"]["macs"] - sum(projections)) / 1e9, 3) == 3.644


def test_a_stride_that_does_not_fit_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    """CS231n calls 3x3 at stride 3 on 7x7 illegal; every framework floors, and the last row is never read."""
    assert main(["check", "--diagnostics", "concise", str(EXAMPLES / "lectures" / "sizes.net")]) == 0
    err = capsys.readouterr().err
    warnings = [line for line in err.splitlines() if "warning[" in line]
    assert len(warnings) == 1
    text = (EXAMPLES / "lectures" / "sizes.net").read_text(encoding="utf-8").splitlines()
    line = next(i for i, content in enumerate(text, 1) if "net Stride3" in content)
    assert f"sizes.net:{line}:" in warnings[0]
