"""GoogLeNet, from table 1 and section 5 of Szegedy et al. 2014."""

from __future__ import annotations

import torch
from equality import Case
from torch import Tensor, nn


def conv(before: int, width: int, k: int, s: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, width, k, s, k // 2), nn.ReLU())


def norm() -> nn.Module:
    return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=1.0)


def pool() -> nn.Module:
    return nn.MaxPool2d(3, 2, ceil_mode=True)


class Inception(nn.Module):
    def __init__(self, before: int, c1: int, r3: int, c3: int, r5: int, c5: int, projected: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            (
                conv(before, c1, 1),
                nn.Sequential(conv(before, r3, 1), conv(r3, c3, 3)),
                nn.Sequential(conv(before, r5, 1), conv(r5, c5, 5)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(before, projected, 1)),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


def head(before: int) -> nn.Module:
    flat = (nn.Flatten(), nn.Linear(2048, 1024), nn.ReLU(), nn.Dropout(0.7), nn.Linear(1024, 1000))
    return nn.Sequential(nn.AvgPool2d(5, 3), conv(before, 128, 1), *flat)


class GoogLeNet(nn.Module):
    def __init__(self, heads: bool = False) -> None:
        super().__init__()
        self.below = nn.Sequential(
            *(conv(3, 64, 7, 2), pool(), norm(), conv(64, 64, 1), conv(64, 192, 3), norm(), pool()),
            *(Inception(192, 64, 96, 128, 16, 32, 32), Inception(256, 128, 128, 192, 32, 96, 64), pool()),
            Inception(480, 192, 96, 208, 16, 48, 64),
        )
        self.head1 = head(512) if heads else None
        self.middle = nn.Sequential(
            Inception(512, 160, 112, 224, 24, 64, 64),
            Inception(512, 128, 128, 256, 24, 64, 64),
            Inception(512, 112, 144, 288, 32, 64, 64),
        )
        self.head2 = head(528) if heads else None
        self.above = nn.Sequential(
            *(Inception(528, 256, 160, 320, 32, 128, 128), pool()),
            *(Inception(832, 256, 160, 320, 32, 128, 128), Inception(832, 384, 192, 384, 48, 128, 128)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.4), nn.Linear(1024, 1000)),
        )

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        below = self.below(x)
        middle = self.middle(below)
        logits: Tensor = self.above(middle)
        return (logits, self.head1(below), self.head2(middle)) if self.head1 and self.head2 else logits


CASES = {"GoogLeNet": Case(GoogLeNet, (3, 107, 121))}
HEADS = Case(lambda: GoogLeNet(heads=True), (3, 223, 223), settings={"training": True})
