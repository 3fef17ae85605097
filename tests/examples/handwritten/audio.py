"""Nets over sound, from their papers."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as f
from equality import Case
from torch import Tensor, nn


def waves(first: int, depths: Sequence[int], widths: Sequence[int]) -> nn.Module:
    """Dai et al. 2016, table 1: kernels of 80 with a stride of 4, then of 3; pools of 4; a mean over time."""

    def layer(before: int, after: int, kernel: int, stride: int, padding: int) -> list[nn.Module]:
        conv = nn.Conv1d(before, after, kernel, stride, padding, bias=False)
        return [conv, nn.BatchNorm1d(after), nn.ReLU()]

    layers = layer(1, first, 80, 4, 38)
    for depth, width in zip(depths, widths, strict=True):
        layers.append(nn.MaxPool1d(4))
        for place in range(depth):
            layers += layer(first if place == 0 else width, width, 3, 1, 1)
        first = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(first, 10))


class VGGish(nn.Module):
    """Hershey et al. 2017, section 3.2, and the authors' layers; features flattened with the channels innermost."""

    def __init__(self, hidden: int = 4096) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for depth, width in ((1, 64), (1, 128), (2, 256), (2, 512)):
            for _ in range(depth):
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.embedding = nn.Sequential(
            *(nn.Linear(512 * 6 * 4, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()),
            *(nn.Linear(hidden, 128), nn.ReLU()),
        )

    def forward(self, spectrogram: Tensor) -> Tensor:
        embedding: Tensor = self.embedding(self.features(spectrogram).permute(0, 2, 3, 1).flatten(1))
        return embedding


class KeywordCRNN(nn.Module):
    """Arik et al. 2017, section 3.1 and table 2: N_C = 32, L = 20x5, S = 8x2, R = 2, N_R = 32, N_F = 64."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 32, (5, 20), (2, 8))
        self.rnn = nn.GRU(32 * 20, 32, 2, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Linear(64 * 19, 64), nn.ReLU(), nn.Linear(64, 2))

    def forward(self, frames: Tensor) -> Tensor:
        x = f.relu(self.conv(f.pad(frames, (6, 7, 1, 2))))
        y, _ = self.rnn(x.flatten(1, 2).transpose(1, 2))
        scores: Tensor = self.head(y.flatten(1))
        return scores


CASES = {
    "M3": Case(lambda: waves(256, [1], [256]), {"wave": (1, 1999)}),
    "M5": Case(lambda: waves(128, [1, 1, 1], [128, 256, 512]), {"wave": (1, 1999)}),
    "M11": Case(lambda: waves(64, [2, 2, 3, 2], [64, 128, 256, 512]), {"wave": (1, 3333)}),
    "M18": Case(lambda: waves(64, [4, 4, 4, 4], [64, 128, 256, 512]), {"wave": (1, 3333)}),
    "VGGish": Case(lambda: VGGish(64), {"spectrogram": (1, 96, 64)}, settings={"hidden": 64}, full=VGGish),
    "KeywordCRNN": Case(KeywordCRNN, {"frames": (1, 40, 151)}),
}
