"""Nets on sequences, from their papers."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as f
from equality import Case
from torch import Tensor, nn


class TextCNN(nn.Module):
    """Kim 2014, section 2 and 3.1: filters of 3, 4 and 5 words, 100 of each."""

    def __init__(self, vocab: int = 20000) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab, 300)
        self.filters = nn.ModuleList(nn.Conv1d(300, 100, k) for k in (3, 4, 5))
        self.fc = nn.Linear(300, 2)

    def forward(self, words: Tensor) -> Tensor:
        text = self.embed(words).transpose(1, 2)
        result: Tensor = self.fc(torch.cat([f.relu(conv(text)).amax(2) for conv in self.filters], 1))
        return result


def charcnn(width: int = 256, hidden: int = 1024) -> nn.Module:
    """Zhang et al. 2015, tables 1 and 2."""
    layers: list[nn.Module] = []
    for place, (k, pooled) in enumerate(((7, True), (7, True), (3, False), (3, False), (3, False), (3, True))):
        layers += [nn.Conv1d(width if place else 70, width, k), nn.ReLU(), *([nn.MaxPool1d(3)] if pooled else [])]
    layers += [nn.Flatten(), nn.Linear(34 * width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden, 4))


class DotAttention(nn.Module):
    """Softmax(Q K^T) V with keys for values."""

    def forward(self, question: Tensor, memory: Tensor) -> Tensor:
        return f.scaled_dot_product_attention(question, memory, memory, scale=1.0)


class ByProducts(nn.Module):
    """The same in matrix products, which are counted."""

    def forward(self, question: Tensor, memory: Tensor) -> Tensor:
        return (question @ memory.mT).softmax(-1) @ memory


class AdditiveAttention(nn.Module):
    """Bahdanau et al. 2014, section A.1.2: v tanh(W q + U k)."""

    def __init__(self, width: int = 64, hidden: int = 32) -> None:
        super().__init__()
        self.w = nn.Linear(width, hidden, bias=False)
        self.u = nn.Linear(width, hidden, bias=False)
        self.v = nn.Linear(hidden, 1, bias=False)

    def forward(self, question: Tensor, memory: Tensor) -> Tensor:
        scores = self.v(torch.tanh(self.w(question)[:, :, None] + self.u(memory)[:, None])).squeeze(-1)
        result: Tensor = scores.softmax(-1) @ memory
        return result


class Transformer(nn.Module):
    """Vaswani et al. 2017, table 3 (base), of PyTorch's own layers; one table for both languages."""

    def __init__(self, vocab: int = 37000, width: int = 512, heads: int = 8, depth: int = 6) -> None:
        super().__init__()
        torch.backends.mha.set_fastpath_enabled(False)  # which the counter of operations does not see
        sizes = (width, heads, 4 * width)
        self.words = nn.Embedding(vocab, width)
        self.encoder = nn.ModuleList(nn.TransformerEncoderLayer(*sizes, batch_first=True) for _ in range(depth))
        self.decoder = nn.ModuleList(nn.TransformerDecoderLayer(*sizes, batch_first=True) for _ in range(depth))
        self.fc = nn.Linear(width, vocab, bias=False)

    def place(self, words: Tensor) -> Tensor:
        x: Tensor = self.words(words)
        length, width = x.shape[1:]
        places, evens = torch.arange(length)[:, None], torch.arange(0, width, 2)
        angles = places / torch.pow(torch.tensor(10000.0, dtype=torch.float64), evens / width)
        table = torch.stack((angles.sin(), angles.cos()), 2).reshape(length, width)
        return x * math.sqrt(width) + table.to(x)

    def forward(self, source: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            memory = self.place(source)
            for layer in self.encoder:
                memory = layer(memory, src_key_padding_mask=hidden)
            y = self.place(target)
            later = torch.ones(y.shape[1], y.shape[1], dtype=torch.bool, device=y.device).triu(1)
            for layer in self.decoder:
                y = layer(y, memory, later, memory_key_padding_mask=hidden)
        result: Tensor = self.fc(y)
        return result


class GPT2(nn.Module):
    """Radford et al. 2019, section 2.3: norms before what they are for, and one after all; words and head are tied."""

    def __init__(
        self, vocab: int = 50257, width: int = 768, heads: int = 12, depth: int = 12, length: int = 1024
    ) -> None:
        super().__init__()
        self.table = nn.Embedding(vocab, width)
        self.positions = nn.Parameter(0.5 * torch.randn(length, width))
        sizes = (width, heads, 4 * width)
        act = partial(f.gelu, approximate="tanh")
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(*sizes, activation=act, batch_first=True, norm_first=True) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, words: Tensor) -> Tensor:
        x: Tensor = self.table(words) + self.positions
        later = torch.ones(words.shape[1], words.shape[1], dtype=torch.bool, device=words.device).triu(1)
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            for layer in self.layers:
                x = layer(x, later)
        return f.linear(self.norm(x), self.table.weight)


NORMS = {
    f"{ours}.{layer}.layernorm{number or ''}": f"{theirs}.{layer}.norm{number or 1}"
    for ours, theirs, count in (("encoders.encoder", "encoder", 2), ("decoder", "decoder", 3))
    for layer in range(2)
    for number in (0, *range(2, count + 1))
}
"""PyTorch registers the norms of a layer last."""

GPT_NORMS = {
    f"layer.{layer}.layernorm{number or ''}": f"layers.{layer}.norm{number or 1}"
    for layer in range(2)
    for number in (0, 2)
}

CASES = {
    "TextCNN": Case(lambda: TextCNN(70), {"words": (13,)}, settings={"vocab": 70, "length": 13}, full=TextCNN),
    "CharCNN": Case(lambda: charcnn(8, 16), {"text": (70, 1014)}, settings={"width": 8, "hidden": 16}, full=charcnn),
    "DotAttention": Case(DotAttention, {"question": (9, 64), "memory": (12, 64)}, full=ByProducts),
    "AdditiveAttention": Case(AdditiveAttention, {"question": (9, 64), "memory": (12, 64)}),
    "GPT2": Case(
        lambda: GPT2(50, 16, 4, 2, 7),
        {"words": (7,)},
        mapping=GPT_NORMS,
        settings={"vocab": 50, "width": 16, "heads": 4, "depth": 2, "length": 7},
        full=GPT2,
    ),
    "Transformer": Case(
        lambda: Transformer(50, 16, 4, 2),
        {"source": (7,), "target": (7,), "hidden": (7,)},
        mapping=NORMS,
        settings={"vocab": 50, "width": 16, "heads": 4, "depth": 2, "length": 7},
        full=Transformer,
    ),
}
