"""From a program to ONNX and back: the same graph up to names, also where the model lost its names and its order."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="writes and reads ONNX models")

import netdsl  # noqa: E402
from netdsl.ir.graph import Graph  # noqa: E402
from netdsl.ir.same import correspondence  # noqa: E402
from netdsl.onnx.read import read  # noqa: E402
from netdsl.reference.interpret import interpret  # noqa: E402

EXAMPLES = Path(__file__).parents[2] / "examples"
NETS = (
    ("lenet5.net", "LeNet5"),
    ("shufflenet2.net", "ShuffleNetV2x05"),
    ("mobilenet3.net", "MobileNetV3Small"),
)


def anonymous(proto: Any) -> None:
    """Strip a model of its metadata and names, and turn the order of its nodes around as far as it goes."""
    proto.producer_name = proto.doc_string = ""
    del proto.metadata_props[:]
    graph = proto.graph
    kept = {value.name for value in (*graph.input, *graph.output)} | {""}
    names: dict[str, str] = {}
    for item in graph.initializer:
        item.name = names.setdefault(item.name, f"t{len(names)}")
    for node in graph.node:
        node.name = node.doc_string = ""
        for part in (node.input, node.output):
            for index, name in enumerate(part):
                if name not in kept:
                    part[index] = names.setdefault(name, f"t{len(names)}")
    made = {item.name for item in graph.initializer} | {value.name for value in graph.input} | {""}
    waiting, order = list(graph.node), []
    while waiting:
        node = next(node for node in reversed(waiting) if made.issuperset(node.input))
        waiting.remove(node)
        order.append(node)
        made.update(node.output)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in order]
    del graph.node[:]
    graph.node.extend(copies)


def same_numbers(graph: Graph, weights: Any, other: Graph, others: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, *graph.inputs[0].type.shape)).astype(np.float32)
    wanted = interpret(graph, {graph.inputs[0].name: x}, weights)[0]
    found = interpret(other, {other.inputs[0].name: x}, others)[0]
    assert np.abs(found - wanted).max() <= 2e-5 * np.abs(wanted).max()


@pytest.mark.parametrize(("file", "name"), NETS, ids=[name for _, name in NETS])
def test_an_example_comes_back(file: str, name: str, tmp_path: Path) -> None:
    net = netdsl.load(EXAMPLES / file, net=name)
    weights = net.init_weights()
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.export(path, weights)
    reading = read(str(path), name)
    assert correspondence(reading.graph, net.graph)
    same_numbers(net.graph, weights, reading.graph, reading.weights)
    proto = onnx.load(path)
    anonymous(proto)
    path.write_bytes(proto.SerializeToString())
    assert correspondence(read(str(path), name).graph, net.graph)
