"""The U-Net of diffusion, from its paper's appendix B."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
import torch.nn.functional as f
from equality import Case
from torch import Tensor, nn


class Look(nn.Module):
    """Attention among all places of a map, with one head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, width, eps=1e-6)
        self.attention = nn.Module()
        self.attention.in_proj_weight = nn.Parameter(torch.randn(3 * width, width) / width**0.5)
        self.attention.in_proj_bias = nn.Parameter(torch.randn(3 * width))
        self.attention.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.norm(x).flatten(2).mT
        q, k, v = f.linear(rows, self.attention.in_proj_weight, self.attention.in_proj_bias).chunk(3, 2)
        seen = torch.softmax(q @ k.mT / q.shape[2] ** 0.5, 2) @ v
        y: Tensor = x + self.attention.out_proj(seen).mT.reshape(x.shape)
        return y


class Res(nn.Module):
    def __init__(self, before: int, width: int, time: int, look: bool) -> None:
        super().__init__()
        self.time = nn.Linear(time, width)
        self.norm1, self.conv1 = nn.GroupNorm(32, before, eps=1e-6), nn.Conv2d(before, width, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(32, width, eps=1e-6), nn.Conv2d(width, width, 3, padding=1)
        self.project = nn.Conv2d(before, width, 1) if before != width else nn.Identity()
        self.look = Look(width) if look else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        y = self.conv1(f.silu(self.norm1(x))) + self.time(f.silu(time))[:, :, None, None]
        y = self.conv2(f.silu(self.norm2(y)))
        seen: Tensor = self.look(self.project(x) + y)
        return seen


class DDPM(nn.Module):
    """Ho et al. 2020: 35.7 million parameters, levels of 32, 16, 8 and 4. `looks` is the level of 16."""

    def __init__(self, width: int = 128, mults: Sequence[int] = (1, 2, 2, 2), looks: int = 1) -> None:
        super().__init__()
        self.width, time = width, 4 * width
        self.time = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time))
        self.first = nn.Conv2d(3, width, 3, padding=1)
        widths, before, kept = [m * width for m in mults], width, [width]
        self.down = nn.ModuleList()
        for level, out in enumerate(widths):
            for _ in range(2):
                self.down.append(Res(before, out, time, look=level == looks))
                kept.append(out)
                before = out
            if level < len(widths) - 1:
                self.down.append(nn.Conv2d(out, out, 3, 2))
                kept.append(out)
        self.middle = nn.ModuleList([Res(before, before, time, look=False), Look(before)])
        self.middle.append(Res(before, before, time, look=False))
        self.up = nn.ModuleList()
        for level, out in reversed(list(enumerate(widths))):
            for _ in range(3):
                self.up.append(Res(before + kept.pop(), out, time, look=level == looks))
                before = out
            if level:
                self.up.append(nn.Conv2d(out, out, 3, padding=1))
        self.last = nn.Sequential(nn.GroupNorm(32, width, eps=1e-6), nn.SiLU(), nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, noisy: Tensor, t: Tensor) -> Tensor:
        half = self.width // 2
        angles = t * torch.exp(torch.arange(half, device=t.device) * (-log(10000) / (half - 1)))
        time = self.time(torch.cat([angles.sin(), angles.cos()], 1))
        x = self.first(noisy)
        kept = [x]
        for layer in self.down:
            x = layer(x, time) if isinstance(layer, Res) else layer(f.pad(x, (0, 1, 0, 1)))
            kept.append(x)
        start, look, end = self.middle
        x = end(look(start(x, time)), time)
        for layer in self.up:
            if isinstance(layer, Res):
                x = layer(torch.cat([x, kept.pop()], 1), time)
            else:
                x = layer(f.interpolate(x, scale_factor=2))
        noise: Tensor = self.last(x)
        return noise


CASES = {
    "DDPM": Case(
        lambda: DDPM(32, (1, 2), looks=0),
        {"noisy": (3, 16, 18), "t": (1,)},
        settings={"width": 32, "mults": [1, 2]},
        full=DDPM,
    ),
}
