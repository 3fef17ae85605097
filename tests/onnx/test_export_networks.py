"""Whole networks as ONNX models in onnxruntime: the examples, and random ones."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from exported import TOLERANCE, checked, error, run
from generated import random_inputs
from onnx import TensorProto
from public import EXAMPLES, INDEX

import netdsl
from netdsl.onnx import write as onnx_writer
from netdsl.tensor import DType

pytestmark = pytest.mark.slow

TOO_LARGE = ("AllJoined",)
"""A lecture's net of 1.6 billion weights, which takes more than an ONNX file holds."""
WRITTEN = [entry for entry in INDEX if entry["net"] not in TOO_LARGE]
FIRST = {entry["file"]: entry for entry in reversed(WRITTEN)}
"""One net of every file: the others of a family are the same blocks, more often."""


@pytest.fixture(scope="session")
def small(models: ModuleType) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Settings and input shapes at which a net is compared with PyTorch too."""
    from test_handwritten import FILES

    found = {}
    for file in FILES:
        for name, case in importlib.import_module(f"handwritten.{file}").CASES.items():
            found[name] = (dict(case.settings), dict(case.shapes))
    return found


def weights_of(net: netdsl.Network) -> dict[str, Any]:
    """Fresh weights that leave nothing out: norms are not the identity, biases not zero.

    In PyTorch's initial scale, which keeps a deep net's answers within what float32 can hold.
    """
    draw = np.random.default_rng(0)
    weights = net.init_weights()
    for name, array in weights.items():
        if name.endswith("running_var"):
            array += draw.uniform(-0.5, 0.5, array.shape).astype(np.float32)
        elif array.ndim == 1:
            array += draw.uniform(-0.2, 0.2, array.shape).astype(np.float32)
        else:
            array /= np.float32(6**0.5)
    return weights


@pytest.mark.parametrize("file", sorted(FIRST))
def test_examples_agree_with_the_reference(small: dict[str, tuple[dict[str, Any], dict[str, Any]]], file: str) -> None:
    import placed

    name = FIRST[file]["net"]
    usual = {} if "/" in file else {"image": placed.SHAPES.get(name, (3, 75, 91))}
    settings, shapes = small.get(name, ({}, {"image": (3, 47, 61)} if name.startswith("VGG") else usual))
    net = netdsl.load(EXAMPLES / file, net=name, shape=shapes, **settings)
    assert error(net.graph, weights_of(net), random_inputs(net.graph, DType.FLOAT32, 2)) <= TOLERANCE


@pytest.mark.parametrize("entry", WRITTEN, ids=lambda entry: entry["net"])
def test_every_layer_and_weight_of_an_example_keeps_its_name(
    entry: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that every net can be written at all. Its numbers are left out: some nets have half a gigabyte."""
    monkeypatch.setattr(onnx_writer, "_initializer", lambda name, array, element: TensorProto(name=name))
    net = netdsl.load(EXAMPLES / entry["file"], net=entry["net"])
    weights = {p.value.name: np.broadcast_to(np.float32(0), p.value.type.shape) for p in net.graph.parameters}
    model = onnx_writer.model_of(net.graph, weights)
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert {node.name for node in net.graph.nodes} <= set(names)
    assert {p.value.name for p in net.graph.parameters} <= {tensor.name for tensor in model.graph.initializer}


@pytest.mark.torch
def test_random_nets_agree() -> None:
    pytest.importorskip("torch")
    from net_checks import SINGLE, by_name, conditioned, draw_data, read, torch_results, worst
    from test_random_nets import for_all

    asked = []

    def judge(net: Any) -> None:
        graph, data = read(net), draw_data(net)
        inputs, weights = by_name(graph, data, np.float32)
        found = run(checked(graph, weights), inputs)
        wanted = torch_results(net, data)
        asked.append(conditioned(net, data, wanted))
        assert not asked[-1] or worst(found, wanted) <= SINGLE

    for_all(150, judge)
    assert len(asked) >= 150
    assert asked.count(False) <= 0.1 * len(asked)
