"""StyleGAN2 from its paper: every sample with weights of its own, as groups of one convolution."""

from __future__ import annotations

import torch
import torch.nn.functional as f
from equality import Case
from torch import Tensor, nn

GAIN = 2**0.5


def filtered(x: Tensor, padding: tuple[int, int], up: int = 1) -> Tensor:
    """The filter [1, 3, 3, 1] along both axes, its sum 4, after zeros between the elements."""
    channels = x.shape[1]
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=x.device)
    kernel = (torch.outer(taps, taps) / 16).expand(channels, 1, 4, 4)
    if up == 1:
        return f.conv2d(f.pad(x, (*padding, *padding)), kernel, groups=channels)
    return f.conv_transpose2d(x, kernel, stride=up, padding=1, groups=channels)


class Modulated(nn.Module):
    """Karras et al. 2020, equations 1 and 3."""

    def __init__(self, before: int, width: int, kernel: int, style: int, demodulate: bool = True) -> None:
        super().__init__()
        self.style = nn.Linear(style, before)
        self.conv = nn.Conv2d(before, width, kernel, bias=False)
        self.demodulate = demodulate

    def forward(self, x: Tensor, w: Tensor, up: bool = False) -> Tensor:
        rows, (height, width) = len(w), x.shape[2:]
        weight = self.conv.weight[None] * self.style(w)[:, None, :, None, None]
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
        x = x.expand(rows, -1, -1, -1).reshape(1, -1, height, width)
        if up:
            y = f.conv_transpose2d(x, weight.transpose(1, 2).flatten(0, 1), stride=2, groups=rows)
            return filtered(y.reshape(rows, -1, *y.shape[2:]), (1, 1))
        y = f.conv2d(x, weight.flatten(0, 1), padding=weight.shape[3] // 2, groups=rows)
        return y.reshape(rows, -1, height, width)


class Styled(nn.Module):
    def __init__(self, before: int, width: int, style: int, up: bool) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.full((1,), 0.5))
        self.bias = nn.Parameter(torch.randn(width, 1, 1))
        self.layer = Modulated(before, width, 3, style)
        self.up = up

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        return f.leaky_relu(self.layer(x, w, self.up) + self.strength * noise + self.bias, 0.2) * GAIN


class ToRGB(nn.Module):
    def __init__(self, before: int, style: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.randn(3, 1, 1))
        self.layer = Modulated(before, 3, 1, style, demodulate=False)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        y: Tensor = self.layer(x, w) + self.bias
        return y


class StyleGAN2(nn.Module):
    """Ibid., figures 2 and 7: outputs of every resolution, added on the way up."""

    def __init__(self, size: int = 1024, most: int = 512, base: int = 32768) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.randn(most, 4, 4))
        self.mapping = nn.ModuleList(nn.Linear(most, most) for _ in range(8))
        self.first, self.picture = Styled(most, most, most, up=False), ToRGB(most, most)
        self.levels = nn.ModuleList()
        before, extent = most, 8
        while extent <= size:
            width = min(most, base // extent)
            parts = [Styled(before, width, most, True), Styled(width, width, most, False), ToRGB(width, most)]
            self.levels.append(nn.ModuleList(parts))
            before, extent = width, 2 * extent

    def forward(self, z: Tensor, *noise: Tensor) -> Tensor:
        w = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.mapping:
            w = f.leaky_relu(layer(w), 0.2) * GAIN
        x = self.first(self.start[None], w, noise[0])
        picture: Tensor = self.picture(x, w)
        for place, level in enumerate(self.levels):
            up, same, rgb = level
            x = same(up(x, w, noise[2 * place + 1]), w, noise[2 * place + 2])
            picture = rgb(x, w) + filtered(picture, (0, 0), up=2)
        return picture


SMALL = {"size": 16, "most": 12, "base": 128}

CASES = {
    "StyleGAN2": Case(lambda: StyleGAN2(**SMALL), {}, settings=SMALL, full=StyleGAN2),
}
