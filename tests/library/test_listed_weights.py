"""`param name: shape = [...]`: numbers that the text lists are a buffer of the net, in every form that it takes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import netdsl
from netdsl.ir.same import correspondence
from netdsl.ir.text import dump, parse_text
from netdsl.raising import raise_graph
from netdsl.weights import from_state_dict, write

TEXT = """
block scaled(sizes) {
  param anchors: 3x2 = sizes
  let factors = anchors -> scale 0.5
  mul(it, factors)
}

net Listed(low = [[1, 2], [3, 4.5], [-6, 1e-3]]) {
  input x: 3x2
  param place: 6 = [0]*3 + [1]*2 + [2]
  scaled(low) -> scaled([[7, 8], [9, 10], [11, 12]]) -> flatten -> add(it, place)
}
"""
LOW = np.array([[1, 2], [3, 4.5], [-6, 1e-3]], np.float32)
HIGH = np.array([[7, 8], [9, 10], [11, 12]], np.float32)
PLACE = np.array([0, 0, 0, 1, 1, 2], np.float32)
X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 3, 2)
WANTED = (X * LOW / 2 * HIGH / 2).reshape(2, 6) + PLACE


@pytest.fixture
def net(tmp_path: Path) -> netdsl.Network:
    path = tmp_path / "listed.net"
    path.write_text(TEXT, encoding="utf-8")
    return netdsl.load(path)


def test_they_are_buffers_with_the_numbers_of_the_text(net: netdsl.Network) -> None:
    totals = net.summary().to_dict()["totals"]
    assert (totals["params"], totals["buffers"]) == (0, 18)
    weights = net.init_weights(seed=7)
    assert weights.keys() == {"place", "scaled.anchors", "scaled2.anchors"}
    assert (weights["scaled.anchors"] == LOW).all()
    assert (weights["scaled2.anchors"] == HIGH).all()
    assert (weights["place"] == PLACE).all()
    np.testing.assert_allclose(net.run(X, weights=weights), WANTED, rtol=1e-6)


def test_a_parameter_of_the_net_sets_them(net: netdsl.Network, tmp_path: Path) -> None:
    other = netdsl.load(tmp_path / "listed.net", low=[[0.25] * 2] * 3)
    assert (other.init_weights()["scaled.anchors"] == 0.25).all()


def test_the_ir_s_text_and_the_raised_program_keep_them(net: netdsl.Network, tmp_path: Path) -> None:
    again = parse_text(dump(net.graph))
    assert dump(again) == dump(net.graph)
    path = tmp_path / "raised.net"
    path.write_text(raise_graph(net.graph, "Raised").text, encoding="utf-8")
    raised = netdsl.load(path)
    assert correspondence(net.graph, raised.graph) is not None
    np.testing.assert_allclose(raised.run(X, weights=raised.init_weights()), WANTED, rtol=1e-6)


def test_other_numbers_are_another_net(net: netdsl.Network, tmp_path: Path) -> None:
    other = netdsl.load(tmp_path / "listed.net", low=[[0, 0], [0, 0], [0, 1]])
    assert correspondence(net.graph, other.graph) is None
    assert correspondence(net.graph, netdsl.load(tmp_path / "listed.net").graph) is not None


def test_a_numpy_module_has_them(net: netdsl.Network, tmp_path: Path) -> None:
    module = ModuleType("listed")
    exec(net.compile().source, module.__dict__)
    write(str(tmp_path / "listed.safetensors"), net.init_weights())
    np.testing.assert_allclose(module.load(tmp_path / "listed.safetensors")(X), WANTED, rtol=1e-6)


@pytest.mark.torch
def test_a_pytorch_module_has_them_before_and_after_training(net: netdsl.Network) -> None:
    torch = pytest.importorskip("torch")
    model = netdsl.to_torch(net)
    np.testing.assert_allclose(model(torch.from_numpy(X)).numpy(), WANTED, rtol=1e-6)
    assert not list(model.parameters())
    assert (from_state_dict(net.graph, model.state_dict())["place"] == PLACE).all()


def test_a_state_dict_need_not_have_them(net: netdsl.Network) -> None:
    found = from_state_dict(net.graph, {})
    assert (found["scaled.anchors"] == LOW).all()
    assert (from_state_dict(net.graph, {**found, "place": PLACE + 1})["place"] == PLACE + 1).all()


def test_an_onnx_model_has_them(net: netdsl.Network, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    path = str(tmp_path / "listed.onnx")
    net.export(path, weights=net.init_weights())
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: X})
    np.testing.assert_allclose(found, WANTED, rtol=1e-6)
