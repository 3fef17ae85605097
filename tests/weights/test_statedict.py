"""State dicts of PyTorch: every tensor used once, and no guess where there is a choice."""

from collections.abc import Sequence

import numpy as np
import pytest

from netdsl import codes
from netdsl.diagnostics import NetError
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph
from netdsl.ops.base import ZEROS
from netdsl.statedict import from_state_dict, match_layers

Layers = Sequence[tuple[str, tuple[int, ...]]]

NORM = ("weight", "bias", "running_mean", "running_var")


def graph_of(layers: Layers) -> Graph:
    builder = GraphBuilder("Tiny")
    for name, shape in layers:
        builder.parameter(name, shape, ZEROS)
    return builder.finish()


def state_of(layers: Layers) -> dict[str, np.ndarray]:
    return {name: np.full(shape, index, np.float32) for index, (name, shape) in enumerate(layers)}


def bottleneck(conv: Sequence[str], bn: Sequence[str], shortcut_first: bool = False) -> Layers:
    """A unit of 16 -> 4 -> 4 -> 16 channels with a projection of the same 16 x 4 as its last convolution."""
    shapes = [(4, 4, 1, 1), (4, 4, 3, 3), (16, 4, 1, 1), (16, 4, 1, 1)]
    layers = [
        [(f"{c}.weight", shape)]
        + [(f"{b}.{leaf}", shape[:1]) for leaf in ("weight", "bias", "running_mean", "running_var")]
        for c, b, shape in zip(conv, bn, shapes, strict=True)
    ]
    order = (3, 0, 1, 2) if shortcut_first else (0, 1, 2, 3)
    return [tensor for index in order for tensor in layers[index]]


OURS = bottleneck(["u.conv", "u.conv2", "u.conv3", "u.conv4"], ["u.bn", "u.bn2", "u.bn3", "u.bn4"])
THEIR_NAMES = ["conv1", "conv2", "conv3", "downsample.0"], ["bn1", "bn2", "bn3", "downsample.1"]


def test_equal_names_win_over_order() -> None:
    layers = [("a.weight", (3, 3)), ("b.weight", (3, 3))]
    weights = from_state_dict(graph_of(layers), dict(reversed(state_of(layers).items())))
    assert {name: array[0, 0] for name, array in weights.items()} == {"a.weight": 0, "b.weight": 1}


def test_equal_orders_match_in_order() -> None:
    state = state_of(bottleneck(*THEIR_NAMES)) | {"bn1.num_batches_tracked": np.array(9)}
    assert match_layers(graph_of(OURS), state) == (
        ("u.conv", "conv1"),
        ("u.bn", "bn1"),
        ("u.conv2", "conv2"),
        ("u.bn2", "bn2"),
        ("u.conv3", "conv3"),
        ("u.bn3", "bn3"),
        ("u.conv4", "downsample.0"),
        ("u.bn4", "downsample.1"),
    )
    weights = from_state_dict(graph_of(OURS), state)
    assert [int(array.flat[0]) for array in weights.values()] == list(range(20))
    assert list(weights) == [name for name, _ in OURS]


def test_a_changed_order_with_a_choice_is_refused_until_it_is_made() -> None:
    state = state_of(bottleneck(*THEIR_NAMES, shortcut_first=True))
    with pytest.raises(NetError) as caught:
        match_layers(graph_of(OURS), state)
    assert {d.code for d in caught.value.diagnostics} == {codes.AMBIGUOUS_LAYERS}
    (diagnostic,) = caught.value.diagnostics
    assert "at `u.conv` (weight 4x4x1x1) it has `downsample.0` (weight 16x4x1x1)" in diagnostic.message
    assert diagnostic.help == (
        'place the layers that stand elsewhere: `--place u.conv=MODULE`, or in Python `mapping={"u.conv": "MODULE"}`'
    )
    with pytest.raises(NetError):
        match_layers(graph_of(OURS), state, {"u.conv4": "downsample.0"})
    table = dict(match_layers(graph_of(OURS), state, {"u.conv4": "downsample.0", "u.bn4": "downsample.1"}))
    assert (table["u.conv3"], table["u.bn3"], table["u.conv"]) == ("conv3", "bn3", "conv1")


def test_a_changed_order_without_a_choice_is_followed() -> None:
    ours = [("stem.weight", (1,)), ("f.weight", (2,)), ("g.weight", (3,)), ("head.weight", (4,))]
    theirs = [("a.weight", (1,)), ("d.weight", (3,)), ("c.weight", (2,)), ("b.weight", (4,))]
    assert [module for _, module in match_layers(graph_of(ours), state_of(theirs))] == ["a", "c", "d", "b"]


def test_layers_without_a_counterpart_are_all_named() -> None:
    theirs = [*OURS[:-5], ("fc.weight", (10, 16)), ("fc.bias", (10,))]
    with pytest.raises(NetError) as caught:
        match_layers(graph_of(OURS), state_of([(f"m.{name}", shape) for name, shape in theirs]))
    assert {d.code for d in caught.value.diagnostics} == {codes.LAYERS_DO_NOT_MATCH}
    assert [d.message.split("`")[1] for d in caught.value.diagnostics] == ["u.conv4", "u.bn4", "m.fc"]
    assert "`m.fc` (bias 10, weight 10x16)" in caught.value.diagnostics[-1].message


def test_a_bias_too_many_is_not_ignored() -> None:
    with pytest.raises(NetError) as caught:
        match_layers(graph_of([("c.weight", (2, 2))]), state_of([("c.weight", (2, 2)), ("c.bias", (2,))]))
    assert {d.code for d in caught.value.diagnostics} == {codes.LAYERS_DO_NOT_MATCH}


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"nowhere": "conv1"}, "`nowhere`, which is not a layer"),
        ({"u.conv": "nowhere"}, "`nowhere`, which is not a module"),
        ({"u.conv": "conv2"}, "places `u.conv` (weight 4x4x1x1) at `conv2` (weight 4x4x3x3)"),
        ({"u.conv3": "conv3", "u.conv4": "conv3"}, "uses `conv3` 2 times"),
    ],
)
def test_a_wrong_mapping_is_refused(mapping: dict[str, str], message: str) -> None:
    with pytest.raises(NetError) as caught:
        match_layers(graph_of(OURS), state_of(bottleneck(*THEIR_NAMES)), mapping)
    assert message in str(caught.value)


@pytest.mark.torch
def test_half_precision_and_parameters_of_a_module_are_taken() -> None:
    torch = pytest.importorskip("torch")
    linear = torch.nn.Linear(3, 2).half()
    weights = from_state_dict(graph_of([("fc.weight", (2, 3)), ("fc.bias", (2,))]), linear.state_dict())
    assert all(array.dtype == np.float32 for array in weights.values())
    np.testing.assert_array_equal(weights["fc.weight"], linear.weight.detach().float().numpy())


def test_a_weight_that_loops_number_is_a_layer() -> None:
    """LayerScale in nested loops, as ConvNeXt has it, of blocks that hold nothing else themselves."""
    ours = [("gamma.0.0", (4, 1, 1)), ("gamma.1.0", (8, 1, 1)), ("gamma.1.1", (8, 1, 1)), ("fc.weight", (2, 8))]
    theirs = [("m.2.gamma", (4, 1, 1)), ("m.5.gamma", (8, 1, 1)), ("m.6.gamma", (8, 1, 1)), ("fc.weight", (2, 8))]
    pairs = [("gamma.0.0", "m.2"), ("gamma.1.0", "m.5"), ("gamma.1.1", "m.6"), ("fc", "fc")]
    assert match_layers(graph_of(ours), state_of(theirs)) == tuple(pairs)
    swapped = {"gamma.1.0": "m.6", "gamma.1.1": "m.5"}
    weights = from_state_dict(graph_of(ours), state_of(theirs), swapped)
    assert [array.flat[0] for array in weights.values()] == [0, 2, 1, 3]
    listed = state_of([(f"scales.{name.partition('.')[2]}", shape) for name, shape in ours[:3]])  # nn.ParameterList
    with pytest.raises(NetError):  # called otherwise
        match_layers(graph_of(ours[:3]), listed)
    assert from_state_dict(graph_of(ours), state_of(ours)).keys() == dict(ours).keys()


def test_numbers_and_directions_of_a_recurrent_module_are_modules() -> None:
    leaves = {"weight_ih": (12, 5), "weight_hh": (12, 3), "bias_ih": (12,), "bias_hh": (12,)}
    places = ("l0", "l0_reverse", "l1", "l1_reverse")
    ours = [(f"{layer}.{leaf}", shape) for layer in ("a", "b", "c", "d") for leaf, shape in leaves.items()]
    theirs = [(f"rnn.{leaf}_{place}", shape) for place in places for leaf, shape in leaves.items()]
    assert match_layers(graph_of(ours), state_of(theirs)) == tuple(
        zip("abcd", (f"rnn.{p}" for p in places), strict=True)
    )
    weights = from_state_dict(graph_of(ours), state_of(theirs))
    assert [array.flat[0] for array in weights.values()] == list(range(16))
