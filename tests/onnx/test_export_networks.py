"""Whole networks as ONNX models in onnxruntime: the examples, and random ones."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from equality import EXAMPLES
from exported import TOLERANCE, checked, error, run
from generated import random_inputs
from onnx import TensorProto
from reduced import ENTRIES, FIRST, reduced, weights_of

import netdsl
from netdsl.onnx.write import model as onnx_writer
from netdsl.tensor import DType

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("file", sorted(FIRST))
def test_examples_agree_with_the_reference(models: ModuleType, file: str) -> None:
    net = reduced(FIRST[file])
    assert error(net.graph, weights_of(net), random_inputs(net.graph, DType.FLOAT32, 2)) <= TOLERANCE


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["net"])
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

    for_all(200, judge)
    assert len(asked) >= 150
    assert asked.count(False) <= 0.1 * len(asked)
