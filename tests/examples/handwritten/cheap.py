"""ShuffleNet (Zhang et al. 2017, figure 2 and table 1) and RepVGG after its training."""

from __future__ import annotations

import torch
import torch.nn.functional as f
from equality import Case
from torch import Tensor, nn


def conv_norm(before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(after)
    )


class ShuffleUnit(nn.Module):
    """Figure 2 (b), with a stride 2 (c). The first unit of all does not group its first convolution."""

    def __init__(self, before: int, after: int, stride: int, groups: int, first: int) -> None:
        super().__init__()
        self.stride, self.first = stride, first
        inner, left = after // 4, after - before if stride == 2 else after
        self.reduce = conv_norm(before, inner, groups=first)
        self.depthwise = conv_norm(inner, inner, 3, stride, inner)
        self.expand = conv_norm(inner, left, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        y = f.channel_shuffle(f.relu(self.reduce(x)), self.first)
        y = self.expand(self.depthwise(y))
        if self.stride == 1:
            return f.relu(x + y)
        return f.relu(torch.cat([f.avg_pool2d(x, 3, 2, 1), y], 1))


def shufflenet(groups: int = 3) -> nn.Module:
    layers: list[nn.Module] = [conv_norm(3, 24, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    before = 24
    for width, depth in ((240, 4), (480, 8), (960, 4)):
        for index in range(depth):
            first = 1 if before == 24 else groups
            layers.append(ShuffleUnit(before, width, 2 if index == 0 else 1, groups, first))
            before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(960, 1000))


def repvgg(last: int, *stages: tuple[int, int]) -> nn.Module:
    """Table 2: `stages` are depths and widths."""
    widths = [min(64, stages[0][1])] + [width for depth, width in stages for _ in range(depth)]
    firsts = {0} | {1 + sum(depth for depth, _ in stages[:index]) for index in range(len(stages))}
    layers: list[nn.Module] = []
    before = 3
    for place, width in enumerate(widths):
        layers += [nn.Conv2d(before, width, 3, 2 if place in firsts else 1, 1), nn.ReLU()]
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, 1000))


CASES = {
    "ShuffleNetV1": Case(shufflenet, (3, 75, 91)),
    "RepVGGA0deployed": Case(lambda: repvgg(1280, (2, 48), (4, 96), (14, 192), (1, 1280)), (3, 75, 91)),
    "RepVGGB0deployed": Case(lambda: repvgg(1280, (4, 64), (6, 128), (16, 256), (1, 1280)), (3, 75, 91)),
}
