"""The classics, from their papers."""

from __future__ import annotations

from itertools import pairwise

import torch
from equality import Case
from torch import Tensor, nn


def lenet5() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 20, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(20, 50, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(2450, 500), nn.ReLU(), nn.Linear(500, 10)),
    )


def lenet5_tanh() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
    )


class Squash(nn.Module):
    """LeCun et al. 1998, appendix A."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * x)


class Subsample(nn.Module):
    """The sum of 2x2 inputs, times a number and plus another, one of each per map (section II.B)."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.scale = nn.Conv2d(maps, maps, 1, groups=maps)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.scale(x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2])
        return total


class LeNet5Paper(nn.Module):
    """Sections II.B and II.C. Table I: which maps of S2 each map of C3 sees, here in the order of their columns."""

    TABLE = (
        *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (4, 5, 0), (5, 0, 1)),
        *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (3, 4, 5, 0), (4, 5, 0, 1), (5, 0, 1, 2)),
        *((0, 1, 3, 4), (1, 2, 4, 5), (2, 3, 5, 0), (0, 1, 2, 3, 4, 5)),
    )

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 6, 5)
        self.s2 = Subsample(6)
        self.c3 = nn.ModuleList(nn.Conv2d(len(maps), 1, 5) for maps in self.TABLE)
        self.s4 = Subsample(16)
        self.c5 = nn.Conv2d(16, 120, 5)
        self.f6 = nn.Linear(120, 84)
        self.pictures = nn.Parameter(torch.randn(10, 84).sign())
        self.squash = Squash()

    def forward(self, x: Tensor) -> Tensor:
        s2 = self.squash(self.s2(self.squash(self.c1(x))))
        c3 = torch.cat([conv(s2[:, list(maps)]) for conv, maps in zip(self.c3, self.TABLE, strict=True)], 1)
        s4 = self.squash(self.s4(self.squash(c3)))
        f6 = self.squash(self.f6(self.squash(self.c5(s4)).flatten(1)))
        return ((f6[:, None] - self.pictures) ** 2).sum(2)


def mlp(*widths: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(widths[:-1]):
        layers += [nn.Linear(before, after), Squash()]
    return nn.Sequential(*layers, nn.Linear(*widths[-2:]))


def norm(k: float = 1.0) -> nn.Module:
    """Krizhevsky et al. 2012, section 3.3: their alpha multiplies a sum over n = 5 maps, PyTorch's their mean."""
    return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=k)


def towers() -> nn.Module:
    """Krizhevsky et al. 2012, section 3."""
    return nn.Sequential(
        *(nn.Conv2d(3, 96, 11, 4), nn.ReLU(), norm(2), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), norm(2), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Flatten(), nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()),
        *(nn.Dropout(), nn.Linear(4096, 1000)),
    )


def zfnet() -> nn.Module:
    """Zeiler & Fergus 2013, figure 3. (An input of 224 needs one more row and column to give their 110.)"""
    return nn.Sequential(
        *(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 96, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), norm()),
        *(nn.Conv2d(96, 256, 5, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), norm()),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Flatten(), nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()),
        *(nn.Dropout(), nn.Linear(4096, 1000)),
    )


def mlpconv(before: int, a: int, b: int, c: int, *window: int) -> list[nn.Module]:
    layers = (nn.Conv2d(before, a, *window), nn.Conv2d(a, b, 1), nn.Conv2d(b, c, 1))
    return [module for layer in layers for module in (layer, nn.ReLU())]


def nin() -> nn.Module:
    """Lin et al. 2013, with the widths of the published definition for CIFAR-10."""
    return nn.Sequential(
        *(*mlpconv(3, 192, 160, 96, 5, 1, 2), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Dropout()),
        *(*mlpconv(96, 192, 192, 192, 5, 1, 2), nn.AvgPool2d(3, 2, ceil_mode=True), nn.Dropout()),
        *(*mlpconv(192, 192, 192, 10, 3, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


def nin_imagenet() -> nn.Module:
    return nn.Sequential(
        *(*mlpconv(3, 96, 96, 96, 11, 4), nn.MaxPool2d(3, 2, ceil_mode=True)),
        *(*mlpconv(96, 256, 256, 256, 5, 1, 2), nn.MaxPool2d(3, 2, ceil_mode=True)),
        *(*mlpconv(256, 384, 384, 384, 3, 1, 1), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Dropout()),
        *(*mlpconv(384, 1024, 1024, 1000, 3, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


def digits() -> nn.Module:
    def stage(before: int, width: int) -> list[nn.Module]:
        first, second = nn.Conv2d(before, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        return [first, nn.ReLU(), second, nn.ReLU(), nn.MaxPool2d(2)]

    head = (nn.Flatten(), nn.Linear(192, 96), nn.ReLU(), nn.Dropout(0.3), nn.Linear(96, 10))
    return nn.Sequential(*stage(1, 24), *stage(24, 48), *head)


CASES = {
    "LeNet5": Case(lenet5, (1, 28, 28)),
    "LeNet5Tanh": Case(lenet5_tanh, (1, 32, 32)),
    "LeNet5Paper": Case(
        LeNet5Paper,
        (1, 32, 32),
        {
            "subsample.conv": "s2.scale",
            "subsample2.conv": "s4.scale",
            **{
                f"conv2.{group}.{index}": f"c3.{start + index}"
                for group, start, count in ((0, 0, 6), (1, 6, 6), (2, 12, 3), (3, 15, 1))
                for index in range(count)
            },
            "conv3": "c5",
        },
    ),
    "MLP2": Case(lambda: mlp(784, 300, 10), (1, 28, 28)),
    "MLP3": Case(lambda: mlp(784, 300, 100, 10), (1, 28, 28)),
    "MLP6": Case(lambda: mlp(841, 2500, 2000, 1500, 1000, 500, 10), (1, 29, 29)),
    "AlexNetTowers": Case(towers, (3, 227, 227)),
    "ZFNet": Case(zfnet, (3, 224, 224)),
    "NIN": Case(nin, (3, 37, 45)),
    "NINImageNet": Case(nin_imagenet, (3, 131, 147)),
    "Digits": Case(digits, (1, 8, 8)),
}
