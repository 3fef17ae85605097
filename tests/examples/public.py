"""How the nets that equal a public implementation are compared with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from operator import attrgetter
from types import ModuleType
from typing import Any

import placed
from equality import EXAMPLES, Case

INDEX = json.loads((EXAMPLES / "index.json").read_text(encoding="utf-8"))
EQUAL: dict[str, dict[str, Any]] = {entry["net"]: entry for entry in INDEX if entry["equals"]}

OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "torchvision:googlenet": {"aux_logits": False, "init_weights": False},
    "torchvision:inception_v3": {"aux_logits": False, "init_weights": False},
    "torchvision:segmentation.fcn_resnet50": {"weights_backbone": None},
    "torchvision:segmentation.deeplabv3_resnet50": {"weights_backbone": None},
}
"""What the public function is told to build the net as its defaults are."""


def build(models: ModuleType, equals: str, **options: Any) -> Callable[[], Any]:
    """The public function that makes the model, without trained weights."""
    library, name = equals.split(":")
    chosen = {**OPTIONS.get(equals, {}), **options}
    if library == "torchvision":
        return placed.wrapped(equals, lambda: attrgetter(name)(models)(weights=None, **chosen))
    import timm

    return placed.wrapped(equals, lambda: timm.create_model(name, pretrained=False, **chosen))


def vgg(models: ModuleType, name: str) -> Any:
    """VGG for 47x61, whose last map is 1x1: torchvision's would pool it up to 7x7, the paper's net does not."""
    import torch

    model = getattr(models, name)(weights=None)
    model.avgpool = torch.nn.Identity()
    model.classifier[0] = torch.nn.Linear(512, 4096)
    return model


PATCHES = {"ViTB16": "image_size", "MixerB16": "img_size"}
"""Nets of 16x16 patches, and what their builders call the extent of the picture, which is theirs for good."""


def filled(build: Callable[[], Any]) -> Callable[[], Any]:
    """Weights that start as one number all over get others: heads of zeros would answer nothing."""

    def built() -> Any:
        import torch

        model = build()
        for parameter in model.parameters():
            if parameter.min() == parameter.max():
                torch.nn.init.normal_(parameter, float(parameter.detach().min()), 0.1)
        return model

    return built


def case(models: ModuleType, entry: Mapping[str, Any]) -> Case:
    """How to compare this net: at an odd size, with the layers placed that the order of registration does not."""
    net, equals = entry["net"], entry["equals"]
    if net == "SwinT":
        return Case(filled(placed.swin(models)), placed.SHAPES[net], placed.swin_merges(1), placed.SETTINGS[net])
    if net in PATCHES:
        return Case(filled(build(models, equals, **{PATCHES[net]: 48})), (3, 48, 48))
    if net.startswith("VGG"):
        return Case(lambda: vgg(models, equals.split(":")[1]), (3, 47, 61))
    return Case(build(models, equals), placed.SHAPES.get(net, (3, 75, 91)), MAPPINGS.get(net, {}))


XCEPTION = {
    f"down{number}.cb.{ours}": f"block{block}.{theirs}"
    for number, block in (("", 1), ("2", 2), ("3", 3), ("4", 12))
    for ours, theirs in (("conv", "skip"), ("bn", "skipbn"))
}
"""The shortcut is registered before what it goes around."""

RESNET_V2 = {
    f"resnet.unit.{stage}.{ours}": f"stages.{stage}.blocks.0.{theirs}"
    for stage in range(4)
    for ours, theirs in (("conv4", "downsample.conv"),)
}

MAPPINGS: Mapping[str, Mapping[str, str]] = {
    "Xception": XCEPTION,
    "ResNet50V2": RESNET_V2,
    "ResNet101V2": RESNET_V2,
    "ResNet152V2": RESNET_V2,
    **placed.MAPPINGS,
}
