"""Networks that label every pixel, from their papers and their authors' Caffe definitions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as f
from equality import Case
from torch import Tensor, nn


def vgg16(width: int) -> tuple[tuple[int, ...], ...]:
    """The widths of its convolutions, stage by stage; 64 is the original's."""
    return tuple((factor * width,) * depth for factor, depth in ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3)))


class FCN(nn.Module):
    """Long et al. 2014: `voc-fcn32s`, `voc-fcn16s` and `voc-fcn8s` of their repository, with their crops.

    Their pools round up. A score of a finer level is cropped from `offset` to the upsampled coarser one.
    """

    def __init__(self, offsets: Sequence[int], last: int, width: int = 64, classes: int = 21) -> None:
        super().__init__()
        before = 3
        stages = []
        for widths in vgg16(width):
            layers: list[nn.Module] = []
            for after in widths:
                layers += [nn.Conv2d(before, after, 3, padding=100 if before == 3 else 1), nn.ReLU()]
                before = after
            stages.append(nn.Sequential(*layers, nn.MaxPool2d(2, ceil_mode=True)))
        self.stages = nn.ModuleList(stages)
        hidden = 64 * width
        self.fc6, self.fc7 = nn.Conv2d(before, hidden, 7), nn.Conv2d(hidden, hidden, 1)
        self.score = nn.Conv2d(hidden, classes, 1)
        self.offsets, self.last = offsets, last
        self.finer = nn.ModuleList()
        for level in range(len(offsets)):
            self.finer.append(nn.ConvTranspose2d(classes, classes, 4, 2, bias=False))
            self.finer.append(nn.Conv2d(vgg16(width)[3 - level][-1], classes, 1))
        stride = 32 >> len(offsets)
        self.up = nn.ConvTranspose2d(classes, classes, 2 * stride, stride, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        levels = [image]
        for stage in self.stages:
            levels.append(stage(levels[-1]))
        y = self.score(f.relu(self.fc7(f.relu(self.fc6(levels[-1])))))
        for level, offset in enumerate(self.offsets):
            y = self.finer[2 * level](y)
            y = y + cut(self.finer[2 * level + 1](levels[4 - level]), offset, y)
        return cut(self.up(y), self.last, image)


def cut(x: Tensor, offset: int, like: Tensor) -> Tensor:
    return x[..., offset : offset + like.shape[-2], offset : offset + like.shape[-1]]


def norm_relu(conv: nn.Module, width: int) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


def convs(before: int, *widths: int, transposed: bool = False) -> nn.Sequential:
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    layers = []
    for width in widths:
        layers.append(norm_relu(kind(before, width, 3, padding=1, bias=False), width))
        before = width
    return nn.Sequential(*layers)


class Unpooling(nn.Module):
    """An encoder of VGG-16's convolutions, and a decoder that unpools to where its pools found their maxima."""

    def __init__(
        self, width: int, decoder: Sequence[tuple[int, ...]], bottom: nn.Module, top: nn.Module, transposed: bool
    ) -> None:
        super().__init__()
        befores = (3, *(widths[-1] for widths in vgg16(width)))
        self.encoder = nn.ModuleList(convs(b, *widths) for b, widths in zip(befores, vgg16(width), strict=False))
        self.bottom = bottom
        befores = (8 * width, *(width * factors[-1] for factors in decoder))
        self.decoder = nn.ModuleList(
            convs(before, *(width * factor for factor in factors), transposed=transposed)
            for before, factors in zip(befores, decoder, strict=False)
        )
        self.top = top

    def forward(self, x: Tensor) -> Tensor:
        pools = []
        for stage in self.encoder:
            x = stage(x)
            size = x.shape[-2:]
            x, at = f.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
            pools.append((at, size))
        x = self.bottom(x)
        for stage, (at, size) in zip(self.decoder, reversed(pools), strict=True):
            x = stage(f.max_unpool2d(x, at, (2, 2), output_size=size))
        top: Tensor = self.top(x)
        return top


def deconvnet(width: int = 64) -> nn.Module:
    """Noh et al. 2015, table 2 of the supplement; every convolution has a norm after it and so no bias here."""
    inner, hidden = 8 * width, 64 * width
    bottom = nn.Sequential(
        norm_relu(nn.Conv2d(inner, hidden, 7, bias=False), hidden),
        norm_relu(nn.Conv2d(hidden, hidden, 1, bias=False), hidden),
        norm_relu(nn.ConvTranspose2d(hidden, inner, 7, bias=False), inner),
    )
    decoder = ((8, 8, 8), (8, 8, 4), (4, 4, 2), (2, 1), (1, 1))
    return Unpooling(width, decoder, bottom, nn.Conv2d(width, 21, 1), transposed=True)


def segnet(width: int = 64) -> nn.Module:
    """Badrinarayanan et al. 2015, figure 2 and the authors' `segnet_train.prototxt`, without biases before norms."""
    decoder = ((8, 8, 8), (8, 8, 4), (4, 4, 2), (2, 1), (1,))
    return Unpooling(width, decoder, nn.Identity(), nn.Conv2d(width, 11, 3, padding=1), transposed=False)


class UNet(nn.Module):
    """Ronneberger et al. 2015, figure 1; `padding` 1 keeps the extents."""

    def __init__(self, padding: int, width: int = 64) -> None:
        super().__init__()
        widths = [width << level for level in range(5)]
        self.down = nn.ModuleList(self.twice(b, w, padding) for b, w in zip((1, *widths), widths, strict=False))
        self.up = nn.ModuleList()
        for after in widths[-2::-1]:
            self.up.append(nn.ConvTranspose2d(2 * after, after, 2, 2))
            self.up.append(self.twice(2 * after, after, padding))
        self.last = nn.Conv2d(width, 2, 1)

    @staticmethod
    def twice(before: int, width: int, padding: int) -> nn.Sequential:
        first, second = nn.Conv2d(before, width, 3, padding=padding), nn.Conv2d(width, width, 3, padding=padding)
        return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for stage in self.down[:-1]:
            skips.append(stage(x))
            x = f.max_pool2d(skips[-1], 2)
        x = self.down[-1](x)
        for index, skip in enumerate(reversed(skips)):
            x = self.up[2 * index](x)
            margin = (skip.shape[-2] - x.shape[-2]) // 2, (skip.shape[-1] - x.shape[-1]) // 2
            middle = skip[..., margin[0] : margin[0] + x.shape[-2], margin[1] : margin[1] + x.shape[-1]]
            x = self.up[2 * index + 1](torch.cat([middle, x], 1))
        last: Tensor = self.last(x)
        return last


NARROW = {"width": 8}

CASES = {
    "FCN32s": Case(lambda: FCN((), 19, 8), (3, 37, 53), settings=NARROW, full=lambda: FCN((), 19)),
    "FCN16s": Case(lambda: FCN((5,), 27, 8), (3, 37, 53), settings=NARROW, full=lambda: FCN((5,), 27)),
    "FCN8s": Case(lambda: FCN((5, 9), 31, 8), (3, 37, 53), settings=NARROW, full=lambda: FCN((5, 9), 31)),
    "DeconvNet": Case(lambda: deconvnet(8), (3, 224, 224), settings=NARROW, full=deconvnet),
    "SegNet": Case(lambda: segnet(8), (3, 41, 53), settings=NARROW, full=segnet),
    "UNet": Case(lambda: UNet(0, 8), (1, 188, 204), settings=NARROW, full=lambda: UNet(0)),
    "UNetSame": Case(lambda: UNet(1, 8), (1, 48, 80), settings=NARROW, full=lambda: UNet(1)),
}
