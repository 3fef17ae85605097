"""Nets that say they equal a public implementation do: same weights, same input, same answer, same totals."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from equality import EXAMPLES, check_equal, counted, own_totals, prepared
from public import EQUAL, MAPPINGS, build, case

import netdsl

pytestmark = pytest.mark.torch

FULL_SIZE = ("AlexNet", "ResNet18", "ResNet50", "Xception", "SwinT")
"""Compared at their own size too."""


def load(entry: dict[str, Any], **options: Any) -> netdsl.Network:
    return netdsl.load(str(EXAMPLES / entry["file"]), net=entry["net"], **options)


@pytest.mark.parametrize("entry", [pytest.param(entry, id=net) for net, entry in EQUAL.items()])
def test_reference_and_module_equal_the_public_model(entry: dict[str, Any], models: ModuleType, tmp_path: Path) -> None:
    how = case(models, entry)
    net = load(entry, shape=how.shapes, **how.settings)
    check_equal(net, prepared(how.build), tmp_path, how.mapping)


@pytest.mark.parametrize("name", FULL_SIZE)
def test_they_are_equal_at_the_size_of_the_paper(name: str, models: ModuleType, tmp_path: Path) -> None:
    entry = EQUAL[name]
    check_equal(load(entry), prepared(build(models, entry["equals"])), tmp_path, MAPPINGS.get(name, {}))


@pytest.mark.parametrize("entry", [pytest.param(entry, id=net) for net, entry in EQUAL.items()])
def test_totals_are_what_pytorch_counts(entry: dict[str, Any], models: ModuleType) -> None:
    net = load(entry)
    types = [value.type for value in net.graph.inputs]
    found = own_totals(net)
    assert {name: found[name] for name in ("params", "buffers", "macs")} == counted(
        build(models, entry["equals"]), types
    )


HEADS: dict[str, dict[str, str]] = {
    "GoogLeNetBN": {
        f"{ours}.{layer}": f"{theirs}.{module}"
        for ours, theirs in (("head", "aux1"), ("head2", "aux2"))
        for layer, module in (("cbr.conv", "conv.conv"), ("cbr.bn", "conv.bn"), ("fc", "fc1"), ("fc2", "fc2"))
    },
    "InceptionV3": {},
}
"""torchvision registers GoogLeNet's heads after all modules, though they stand between them."""


@pytest.mark.parametrize(
    ("name", "shape", "order"),
    [("GoogLeNetBN", (3, 141, 157), ("logits", "aux2", "aux1")), ("InceptionV3", (3, 299, 299), ("logits", "aux1"))],
)
def test_with_auxiliary_heads(
    name: str, shape: tuple[int, ...], order: tuple[str, ...], models: ModuleType, tmp_path: Path
) -> None:
    """The public model's heads answer in training only; its norms and dropout stay as at inference here."""
    entry = EQUAL[name]

    def heads_of_training() -> Any:
        model = build(models, entry["equals"], aux_logits=True)()
        model.register_forward_pre_hook(lambda module, _: setattr(module, "training", True))
        model.register_forward_hook(lambda _, __, found: tuple(getattr(found, names[o]) for o in ours))
        return model

    names = {"logits": "logits", "aux1": "aux_logits1" if len(order) == 3 else "aux_logits", "aux2": "aux_logits2"}
    net = load(entry, shape={"image": shape}, training=True)
    ours = [name for name, _ in net.graph.results]
    assert sorted(ours) == sorted(order)
    check_equal(net, prepared(heads_of_training), tmp_path, HEADS[name])
