"""Whole nets: the generated module against the reference interpreter, and against PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from generated import compare, difference, load_model, random_inputs, random_weights
from hypothesis import given, settings
from small_nets import NETS, graphs, make

import netdsl
from netdsl.codegen.numpy.backend import compile_graph
from netdsl.codegen.numpy.lowerings import elementwise
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph
from netdsl.ops import Add, Concat, Conv, Mul, Pool, Relu, Reshape, Sub
from netdsl.ops.base import ONES
from netdsl.ops.choice import TopK
from netdsl.passes.expand import Expand
from netdsl.passes.hoist import Hoist
from netdsl.passes.pipeline import OPTIMIZE
from netdsl.reference.interpret import interpret
from netdsl.tensor import DType, TensorType

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.FLOAT64])
@pytest.mark.parametrize("name", sorted(NETS))
def test_small_nets_agree(name: str, dtype: DType) -> None:
    compare(make(name), dtype, 3, factor=4)


@pytest.mark.parametrize("passes", [OPTIMIZE, (Expand(), Hoist())], ids=["channels-first", "no-passes"])
@pytest.mark.parametrize("name", sorted(NETS))
def test_small_nets_agree_whatever_the_passes_did(name: str, passes: tuple[object, ...]) -> None:
    compare(make(name), DType.FLOAT64, 2, passes=passes, factor=4)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(NETS))
def test_small_nets_agree_as_if_every_map_was_large(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elementwise, "LARGE", 1)
    compare(make(name), DType.FLOAT64, 1, factor=4)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(graphs())
def test_random_nets_agree(graph: Graph) -> None:
    compare(graph, DType.FLOAT64, 2, factor=100)


def tails() -> Graph:
    """A tail that takes its value in every place, and operands of every extent."""
    builder = GraphBuilder("Tails")
    x = builder.input("x", TensorType((6, 5, 4)))
    gate = builder.input("gate", TensorType((6, 1, 1)))
    row = builder.input("row", TensorType((1, 1, 4)))
    one = builder.input("one", TensorType((1,)))
    table = builder.parameter("table", (6, 5, 4), ONES)
    channel = builder.parameter("channel", (6, 1, 1), ONES)
    results = []
    for index, conv in enumerate((Conv(6, (1,)), Conv(6, (3,), padding=(1,)), Conv(6, (3,), padding=(1,), groups=6))):
        (y,) = builder.node(conv, (x,), name=f"conv{index}")
        for number, (op, others, place) in enumerate(
            (
                (Add(), (x, gate), 2),
                (Sub(), (gate,), 1),
                (Mul(), (row,), 0),
                (Add(), (table, one), 1),
                (Mul(), (channel,), 1),
                (Relu(), (), 0),
            )
        ):
            operands = [*others[:place], y, *others[place:]]
            (y,) = builder.node(op, operands, name=f"tail{index}_{number}")
        results.append(y)
    for index, y in enumerate(results):
        builder.result(f"y{index}", y)
    return builder.finish()


@pytest.mark.parametrize("n", [1, 3])
def test_tails_with_operands_of_every_extent_agree(n: int) -> None:
    artifact = compare(tails(), DType.FLOAT64, n, factor=4)
    assert "finish" in artifact.source
    assert "np.broadcast_to" in artifact.source


def test_a_value_joined_with_itself_three_times_agrees() -> None:
    builder = GraphBuilder("Thrice")
    x = builder.input("x", TensorType((3, 4, 4)))
    (y,) = builder.node(Conv(3, (1,)), (x,), name="conv")
    (z,) = builder.node(Add(), (y, x, y), name="sum")
    (z,) = builder.node(Mul(), (z, z, z), name="cube")
    compare(builder.result("z", z).finish(), DType.FLOAT64, 2)


def test_blocks_that_do_not_divide_their_extents_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    from netdsl.codegen.numpy.lowerings import conv

    monkeypatch.setattr(conv, "BLOCK_BYTES", 2000)
    for name in ("lenet", "residual", "projection", "norms_fold", "dense"):
        compare(make(name), DType.FLOAT64, 5, factor=4)
    compare(tails(), DType.FLOAT64, 3, factor=4)


def test_results_that_no_layer_makes_agree() -> None:
    builder = GraphBuilder("Plain")
    x = builder.input("x", TensorType((3, 4, 4)))
    table = builder.parameter("table", (2, 8), ONES)
    (shaped,) = builder.node(Reshape((4, 4)), (table,), name="reshape")
    (joined,) = builder.node(Concat(), (x, x), name="concat")
    graph = builder.result("x", x).result("table", table).result("shaped", shaped).result("joined", joined).finish()
    compare(graph, DType.FLOAT64, 2)


def test_weights_used_by_two_kernels_are_packed_for_each() -> None:
    builder = GraphBuilder("Shared")
    x = builder.input("x", TensorType((4, 6, 6)))
    (y,) = builder.node(Conv(4, (1,), bias=False), (x,), name="conv")
    weight = builder.finish().nodes[0].weights
    (z,) = builder.node(Conv(4, (1,), (2,), bias=False), (y,), name="strided", weights=weight)
    artifact = compare(builder.result("z", z).finish(), DType.FLOAT64, 2)
    assert "w.conv_weight = pack_1x1(" in artifact.source
    assert "w.conv_weight_2 = pack_taps(" in artifact.source


def test_indices_of_pooling_are_whole_numbers_of_their_own_size() -> None:
    builder = GraphBuilder("Indices")
    x = builder.input("x", TensorType((3, 6, 6)))
    y, at = builder.node(Pool("max", (2,), indices=True), (x,), name="pool")
    graph = builder.result("y", y).result("at", at).finish()
    compare(graph, DType.FLOAT32, 3)
    holed = np.random.default_rng(0).standard_normal((3, 3, 6, 6)).astype(np.float32)
    holed[holed > 0.5] = np.nan
    for found, wanted in zip(
        load_model(compile_graph(graph), {})(holed), interpret(graph, {"x": holed}, {}), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


def test_nan_is_above_infinity() -> None:
    builder = GraphBuilder("Best")
    best, at = builder.node(TopK(5), (builder.input("x", TensorType((9,))),), name="topk")
    graph = builder.result("best", best).result("at", at).finish()
    x = np.array([[1, np.inf, np.nan, -np.inf, np.nan, 0, np.inf, 2, 2]] * 2, np.float32)
    for found, wanted in zip(load_model(compile_graph(graph), {})(x), interpret(graph, {"x": x}, {}), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.slow
def test_resnet50_agrees_with_the_reference() -> None:
    net = netdsl.load(EXAMPLES / "resnet.net", net="ResNet50")
    graph = net.graph
    weights = random_weights(graph, DType.FLOAT32)
    for array in weights.values():
        if array.ndim > 1:
            array *= (2 / (array.size / len(array))) ** 0.5 / 0.5  # keeps the scale from layer to layer
    (x,) = random_inputs(graph, DType.FLOAT32, 1).values()
    model = load_model(compile_graph(graph), weights)
    assert difference(model(x), net.run(x, weights)) <= 2e-5


@pytest.mark.torch
def test_a_small_net_agrees_with_pytorch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, stride=2, padding=2),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(3, 2, 1),
        torch.nn.Conv2d(8, 12, 3, padding=1, groups=4, bias=False),
        torch.nn.Flatten(),
        torch.nn.Linear(12 * 5 * 4, 7),
    ).eval()
    layers[1].running_mean.normal_()
    layers[1].running_var.uniform_(0.5, 2)
    text = """net Small {
      input image: 3x19x15
      conv 8 k5 s2 p2 -> bn -> relu -> pool max k3 s2 p1
      conv 12 k3 p1 g4 nobias -> flatten -> fc 7
    }"""
    weights = {
        f"{ours}.{name}": tensor.detach().numpy()
        for ours, theirs in (("conv", 0), ("bn", 1), ("conv2", 4), ("fc", 6))
        for name, tensor in layers[theirs].state_dict().items()
        if name != "num_batches_tracked"
    }
    x = torch.randn(3, 3, 19, 15)
    with torch.inference_mode():
        wanted = layers(x).numpy()
    (tmp_path / "small.net").write_text(text)
    graph = netdsl.load(tmp_path / "small.net").graph
    assert difference(load_model(compile_graph(graph), weights)(x.numpy()), wanted) <= 2e-5
