"""What the dense, cheap and other nets claim beside their totals: two forms that are one function, shared weights,
outputs of training, and figures of papers that leave layers out."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from equality import EXAMPLES, TOLERANCE, Array, answers, check_equal, disagreement, generated, prepared, samples
from placed import repvgg
from public import build

import netdsl
from netdsl.weights import from_state_dict

pytestmark = pytest.mark.torch


def params(file: str, name: str) -> dict[str, int]:
    layers = netdsl.load(str(EXAMPLES / file), net=name).summary().to_dict()["layers"]
    return {layer["name"]: layer["params"] for layer in layers if layer["params"]}


def folded(weights: Mapping[str, Array], kernel: str, norm: str) -> tuple[Array, Array]:
    """A 3x3 kernel and a bias that do what a convolution without bias and its norm do (Ding et al. 2021, figure 4)."""
    scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + 1e-5)
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    if kernel:
        wide = weights[f"{kernel}.weight"]
    else:
        wide = np.eye(len(scale), dtype=np.float32)[:, :, None, None]
    margin = (3 - wide.shape[-1]) // 2
    padded = np.pad(wide, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    return padded * scale[:, None, None, None], bias


def test_repvgg_deployed_is_repvgg_trained(models: ModuleType, tmp_path: Path) -> None:
    """The three branches of every unit folded into one convolution by hand."""
    path, shape = str(EXAMPLES / "repvgg.net"), {"image": (3, 43, 51)}
    model = prepared(build(models, "timm:repvgg_a0"))
    trained = netdsl.load(path, net="RepVGGA0", shape=shape)
    deployed = netdsl.load(path, net="RepVGGA0deployed", shape=shape)
    weights = from_state_dict(trained.graph, model.state_dict(), repvgg(2, 4, 14, 1))
    fewer = {name: tensor for name, tensor in weights.items() if name.startswith("repvgg.fc")}
    for name in {parameter.value.name for parameter in deployed.graph.parameters} - fewer.keys():
        unit, _, leaf = name.rpartition(".conv.")
        branches = [(f"{unit}.cb.conv", f"{unit}.cb.bn"), (f"{unit}.cb2.conv", f"{unit}.cb2.bn")]
        if f"{unit}.bn.weight" in weights:
            branches.append(("", f"{unit}.bn"))
        parts = [folded(weights, kernel, norm)[("weight", "bias").index(leaf)] for kernel, norm in branches]
        fewer[name] = np.sum(parts, axis=0, dtype=np.float32)
    inputs = samples(trained)
    (wanted,) = answers(model, inputs)
    assert disagreement(deployed.run(*inputs, weights=fewer), wanted) <= TOLERANCE
    assert disagreement(generated(deployed, fewer, tmp_path)(*inputs), wanted) <= TOLERANCE


def test_flownet_gives_every_scale_in_training(tmp_path: Path) -> None:
    written = importlib.import_module("handwritten.uses")

    def every_scale() -> Any:
        model = written.FlowNetS()
        flows: list[Any] = []
        for level in (6, 5, 4, 3, 2):
            model.refine[f"flow{level}"].register_forward_hook(lambda _, __, flow: flows.append(flow))
        model.register_forward_hook(lambda _, __, ___: tuple(flows[::-1]))
        return model

    small = {"first": (3, 64, 64), "second": (3, 64, 64)}
    net = netdsl.load(str(EXAMPLES / "flownet.net"), shape=small, training=True)
    assert [value.type.shape for value in net.graph.outputs] == [(2, 64 >> level, 64 >> level) for level in range(2, 7)]
    check_equal(net, prepared(every_scale), tmp_path, {})


@pytest.mark.parametrize(("file", "net", "calls"), [("siamese.net", "Siamese", 2), ("triplet.net", "Triplet", 3)])
def test_every_input_meets_the_same_weights(file: str, net: str, calls: int) -> None:
    network = netdsl.load(str(EXAMPLES / file), net=net)
    convolutions = [node for node in network.graph.nodes if node.op.word == "conv"]
    kernels = {node.inputs[1] for node in convolutions}
    assert len(convolutions) == calls * len(kernels) > 0


def test_fcn_without_its_upsampling_has_134_million_weights() -> None:
    """Long et al. 2014, table 1, counts the net as it classifies: the rest is upsampling."""
    counts = params("fcn.net", "FCN32s")
    up = counts.pop("fcn.upconv2")
    assert up == 21 * 21 * 64 * 64
    assert round(sum(counts.values()) / 1e6) == 134


def test_srcnn_has_8032_weights_and_its_biases() -> None:
    """Dong et al. 2014, on the 9-1-5 net: it counts no biases."""
    assert sum(params("srcnn.net", "SRCNN").values()) == 8032 + 64 + 32 + 1


def test_overfeat_has_145_million_weights_without_its_regression() -> None:
    """Sermanet et al. 2013, table 4, fast; cut off, not rounded."""
    counts = params("overfeat.net", "OverFeat")
    regression = {"fc4", "fc5", "box"}
    assert regression < counts.keys()
    assert sum(count for name, count in counts.items() if name not in regression) // 10**6 == 145


def test_deeppose_has_its_paper_s_weights_but_for_one_layer() -> None:
    """Toshev & Szegedy 2013, section 3.1: "about 40M", one figure, which the second layer of 4096 exceeds."""
    counts = params("deeppose.net", "DeepPose")
    (second,) = [count for count in counts.values() if count == 4096 * 4096 + 4096]
    assert 40e6 <= sum(counts.values()) - second < 42e6
