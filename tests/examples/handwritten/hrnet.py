"""HRNet's head for segmentation (Wang et al. 2019, figure 4 (b)) on timm's four resolutions."""

from __future__ import annotations

import timm
import torch
import torch.nn.functional as f
from equality import Case
from torch import Tensor, nn


class Segmentation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = timm.create_model("hrnet_w18", pretrained=False)
        for name in ("incre_modules", "downsamp_modules", "final_layer", "classifier"):
            setattr(self.trunk, name, None)
        self.mix = nn.Sequential(nn.Conv2d(270, 270, 1, bias=False), nn.BatchNorm2d(270), nn.ReLU())
        self.classes = nn.Conv2d(270, 19, 1)

    def forward(self, image: Tensor) -> Tensor:
        finest, *others = self.trunk.forward_features(image)
        fine = [f.interpolate(other, finest.shape[-2:], mode="bilinear") for other in others]
        scores = self.classes(self.mix(torch.cat([finest, *fine], 1)))
        return f.interpolate(scores, image.shape[-2:], mode="bilinear")


CASES = {"HRNetW18Segmentation": Case(Segmentation, (3, 64, 96))}
"""The resolutions meet again only where 32 divides the input."""
