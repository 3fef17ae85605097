"""Published networks in plain PyTorch, as oracles for generated modules: torchvision is not wherever a GPU is.

Layers are registered in the order in which the `.net` texts have them, so that weights go over in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """He et al. 2015, with the stride in the 3x3 convolution (v1.5)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)),
        )
        self.shortcut = nn.Sequential()
        if channels != 4 * width:
            project = nn.Conv2d(channels, 4 * width, 1, stride, bias=False)
            self.shortcut = nn.Sequential(project, nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet50() -> nn.Module:
    layers: list[nn.Module] = [
        *(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
        nn.MaxPool2d(3, 2, 1),
    ]
    channels = 64
    for depth, width, stride in zip((3, 4, 6, 3), (64, 128, 256, 512), (1, 2, 2, 2), strict=True):
        for index in range(depth):
            layers.append(Bottleneck(channels, width, stride if index == 0 else 1))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)).eval()


def vgg16() -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for depth, width in zip((2, 2, 3, 3, 3), (64, 128, 256, 512, 512), strict=True):
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(4096, 1000)).eval()


def mini() -> nn.Module:
    """`mini.net`."""
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        Small(),
        *(nn.Conv2d(16, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
    ).eval()


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
            *(nn.Conv2d(64, 16, 1, bias=False), nn.BatchNorm2d(16)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + x)


def shaken(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights that keep the size of activations, and norms that do something."""
    source = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            continue
        if tensor.ndim > 1:
            tensor.normal_(0, (2 / (tensor.numel() / len(tensor))) ** 0.5, generator=source)
        elif name.endswith(("running_var", "weight")):
            tensor.uniform_(0.5, 1.5, generator=source)
        else:
            tensor.normal_(0, 0.1, generator=source)
    return model


def in_order(model: nn.Module, weights: Mapping[str, Iterable[int]]) -> dict[str, Any]:
    """The tensors of a model under the names of a module's WEIGHTS, one after the other."""
    tensors = [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]
    result = dict(zip(weights, tensors, strict=True))
    for name, shape in weights.items():
        if tuple(result[name].shape) != tuple(shape):
            raise ValueError(f"{name} is {tuple(shape)}, but PyTorch has {tuple(result[name].shape)} in its place")
    return result
