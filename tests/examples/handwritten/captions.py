"""Nets that write sentences, from their papers."""

from __future__ import annotations

import torch
from equality import Case
from torch import Tensor, nn


class ShowAndTell(nn.Module):
    """Vinyals et al. 2014, equations 10 to 12: the picture is the first word."""

    def __init__(self, vocab: int = 10000, width: int = 512) -> None:
        super().__init__()
        self.image = nn.Linear(2048, width)
        self.embed = nn.Embedding(vocab, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, vocab)

    def forward(self, features: Tensor, words: Tensor) -> Tensor:
        steps = torch.cat([self.image(features)[:, None], self.embed(words)], 1)
        scores: Tensor = self.head(self.lstm(steps)[0])
        return scores


class PictureToCaption(nn.Module):
    """The same on what torchvision's ResNet-50 sees, all of it trained together."""

    def __init__(self, vocab: int = 10000, width: int = 512) -> None:
        super().__init__()
        import torchvision

        self.see = torchvision.models.resnet50(weights=None)
        self.see.fc = nn.Identity()
        self.tell = ShowAndTell(vocab, width)

    def forward(self, image: Tensor, words: Tensor) -> Tensor:
        scores: Tensor = self.tell(self.see(image), words)
        return scores


CASES = {
    "ShowAndTell": Case(
        lambda: ShowAndTell(97, 24),
        {"features": (2048,), "words": (5,)},
        settings={"vocab": 97, "width": 24, "steps": 5},
        full=ShowAndTell,
    ),
    "PictureToCaption": Case(
        lambda: PictureToCaption(97, 24),
        {"image": (3, 47, 61), "words": (5,)},
        settings={"vocab": 97, "width": 24, "steps": 5},
        full=PictureToCaption,
    ),
}
