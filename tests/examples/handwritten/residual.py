"""Residual nets and their plain twins that no library has (He et al. 2015)."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as f
import torchvision.models.resnet as public
from equality import Case
from torch import Tensor, nn


class Unit(nn.Module):
    """Two 3x3 convolutions; around them a shortcut of option A (section 3.3), or nothing."""

    def __init__(self, before: int, width: int, stride: int, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.more, self.shortcut = stride, width - before, shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(f.relu(self.bn1(self.conv1(x)))))
        if self.shortcut:
            y = y + f.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return f.relu(y)


def cifar(depth: int, shortcut: bool) -> nn.Module:
    """Section 4.2: 6n + 2 layers."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    before = 16
    for width in (16, 32, 64):
        for index in range((depth - 2) // 6):
            layers.append(Unit(before, width, 2 if width > before and index == 0 else 1, shortcut))
            before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class PlainUnit(Unit):
    """In the place of torchvision's `BasicBlock`; of its arguments only these matter here."""

    expansion = 1

    def __init__(self, before: int, width: int, stride: int = 1, *_: object, **__: object) -> None:
        super().__init__(before, width, stride, shortcut=False)


def plain(depths: list[int]) -> Callable[[], nn.Module]:
    return lambda: public.ResNet(PlainUnit, depths)  # type: ignore[arg-type]


def version_1(depths: list[int]) -> Callable[[], nn.Module]:
    """torchvision's, with the strides of every stage moved from the 3x3 into the first 1x1."""

    def build() -> nn.Module:
        model = public.ResNet(public.Bottleneck, depths)
        for stage in (model.layer2, model.layer3, model.layer4):
            stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
        return model

    return build


CASES = {
    "Plain18": Case(plain([2, 2, 2, 2]), (3, 65, 79)),
    "Plain34": Case(plain([3, 4, 6, 3]), (3, 65, 79)),
    "ResNet50v1": Case(version_1([3, 4, 6, 3]), (3, 65, 79)),
    "ResNet101v1": Case(version_1([3, 4, 23, 3]), (3, 65, 79)),
    "ResNet152v1": Case(version_1([3, 8, 36, 3]), (3, 65, 79)),
    "ResNet20": Case(lambda: cifar(20, True), (3, 33, 39)),
    "ResNet56": Case(lambda: cifar(56, True), (3, 33, 39)),
    "ResNet110": Case(lambda: cifar(110, True), (3, 33, 39)),
    "Plain56": Case(lambda: cifar(56, False), (3, 33, 39)),
}
