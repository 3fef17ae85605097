"""Images to images, and nets for other uses than classes, from their papers."""

from __future__ import annotations

import torch
import torch.nn.functional as f
from equality import Case
from torch import Tensor, nn


def srcnn() -> nn.Module:
    """Dong et al. 2014, section 3.1: 9-1-5."""
    return nn.Sequential(nn.Conv2d(1, 64, 9), nn.ReLU(), nn.Conv2d(64, 32, 1), nn.ReLU(), nn.Conv2d(32, 1, 5))


def espcn() -> nn.Module:
    """Shi et al. 2016, section 3.2, with an upscaling of 3."""
    return nn.Sequential(
        *(nn.Conv2d(1, 64, 5, padding=2), nn.Tanh(), nn.Conv2d(64, 32, 3, padding=1), nn.Tanh()),
        *(nn.Conv2d(32, 9, 3, padding=1), nn.PixelShuffle(3)),
    )


class DnCNN(nn.Module):
    """Zhang et al. 2016, section III.B: y - R(y)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, 64, 3, padding=1), nn.ReLU()]
        for _ in range(15):
            layers += [nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        self.noise = nn.Sequential(*layers, nn.Conv2d(64, 1, 3, padding=1, bias=False))

    def forward(self, y: Tensor) -> Tensor:
        clean: Tensor = y - self.noise(y)
        return clean


class FlowNetS(nn.Module):
    """Dosovitskiy et al. 2015, figures 2 and 3, with `conv6_1` as in the authors' net; leaky units of 0.1."""

    def __init__(self) -> None:
        super().__init__()
        plan = {
            "1": (6, 64, 7, 2),
            "2": (64, 128, 5, 2),
            "3": (128, 256, 5, 2),
            "3_1": (256, 256, 3, 1),
            "4": (256, 512, 3, 2),
            "4_1": (512, 512, 3, 1),
            "5": (512, 512, 3, 2),
            "5_1": (512, 512, 3, 1),
            "6": (512, 1024, 3, 2),
            "6_1": (1024, 1024, 3, 1),
        }
        self.conv = nn.ModuleDict({name: nn.Conv2d(b, a, k, s, k // 2) for name, (b, a, k, s) in plan.items()})
        self.refine = nn.ModuleDict()
        for level, (before, width) in {5: (1024, 512), 4: (1026, 256), 3: (770, 128), 2: (386, 64)}.items():
            self.refine[f"flow{level + 1}"] = nn.Conv2d(before, 2, 3, padding=1)
            self.refine[f"up{level}"] = nn.ConvTranspose2d(2, 2, 4, 2, 1)
            self.refine[f"deconv{level}"] = nn.ConvTranspose2d(before, width, 4, 2, 1)
        self.refine["flow2"] = nn.Conv2d(194, 2, 3, padding=1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        x = torch.cat([first, second], 1)
        found = {}
        for name, conv in self.conv.items():
            found[name] = x = f.leaky_relu(conv(x), 0.1)
        for level, skip in ((5, "5_1"), (4, "4_1"), (3, "3_1"), (2, "2")):
            flow = self.refine[f"flow{level + 1}"](x)
            finer = f.leaky_relu(self.refine[f"deconv{level}"](x), 0.1)
            x = torch.cat([found[skip], finer, self.refine[f"up{level}"](flow)], 1)
        last: Tensor = self.refine["flow2"](x)
        return last


def deeppose(hidden: int = 4096) -> nn.Module:
    """Toshev & Szegedy 2013, section 3.1: C(55x55x96) LRN P C(27x27x256) LRN P C(13x13x384) C C(13x13x256) P F F."""

    def norm() -> nn.Module:
        return nn.LocalResponseNorm(5)

    return nn.Sequential(
        *(nn.ZeroPad2d((3, 4, 3, 4)), nn.Conv2d(3, 96, 11, 4), nn.ReLU(), norm(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(), norm(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten()),
        *(nn.Linear(9216, hidden), nn.ReLU(), nn.Dropout(0.6), nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.6)),
        nn.Linear(hidden, 28),
    )


class OverFeat(nn.Module):
    """Sermanet et al. 2013: table 1 (the fast model), and the regression of section 4.2."""

    def __init__(self, width: int = 1024) -> None:
        super().__init__()
        a, b, c, features = 3 * width // 32, width // 4, width // 2, 36 * width
        self.trunk = nn.Sequential(
            *(nn.Conv2d(3, a, 11, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(a, b, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(b, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, width, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        )
        self.classes = nn.Sequential(
            *(
                nn.Linear(features, 3 * width),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(3 * width, 4 * width),
                nn.ReLU(),
                nn.Dropout(),
            ),
            nn.Linear(4 * width, 1000),
        )
        self.box = nn.Sequential(
            nn.Linear(features, 4 * width), nn.ReLU(), nn.Linear(4 * width, width), nn.ReLU(), nn.Linear(width, 4)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(image)
        return self.classes(features), self.box(features)


class Siamese(nn.Module):
    """Zagoruyko & Komodakis 2015, figure 2: `siam`."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(
            *(nn.Conv2d(1, 96, 7, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(96, 192, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(192, 256, 3), nn.ReLU(), nn.Flatten()),
        )
        self.decide = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 1))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        decision: Tensor = self.decide(torch.cat([self.tower(left), self.tower(right)], 1))
        return decision


class Triplet(nn.Module):
    """Balntas et al. 2016, section 3."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(
            *(nn.Conv2d(1, 32, 7), nn.Tanh(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 6), nn.Tanh(), nn.Flatten()),
            *(nn.Linear(4096, 128), nn.Tanh()),
        )

    def forward(self, anchor: Tensor, match: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        a, m, o = self.embed(anchor), self.embed(match), self.embed(other)
        return (a - m).norm(dim=1), (a - o).norm(dim=1)


def dqn() -> nn.Module:
    """Mnih et al. 2015, "Methods: model architecture"."""
    return nn.Sequential(
        *(nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 18)),
    )


class Policy(nn.Module):
    """Silver et al. 2016, "Methods: neural network architecture"."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(48, 192, 5, padding=2), nn.ReLU()]
        for _ in range(11):
            layers += [nn.Conv2d(192, 192, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(192, 1, 1, bias=False))
        self.point = nn.Parameter(torch.randn(1, 19, 19))

    def forward(self, board: Tensor) -> Tensor:
        return torch.softmax((self.layers(board) + self.point).flatten(1), 1)


CASES = {
    "SRCNN": Case(srcnn, (1, 29, 37)),
    "ESPCN": Case(espcn, (1, 19, 23)),
    "DnCNN": Case(DnCNN, (1, 31, 45)),
    "FlowNetS": Case(FlowNetS, {"first": (3, 64, 128), "second": (3, 64, 128)}),
    "DeepPose": Case(lambda: deeppose(256), (3, 220, 220), settings={"hidden": 256}, full=deeppose),
    "OverFeat": Case(lambda: OverFeat(64), (3, 231, 231), settings={"width": 64}, full=OverFeat),
    "Siamese": Case(Siamese, {"left": (1, 64, 64), "right": (1, 64, 64)}),
    "Triplet": Case(Triplet, {"anchor": (1, 32, 32), "match": (1, 32, 32), "other": (1, 32, 32)}),
    "DQN": Case(dqn, {"frames": (4, 84, 84)}),
    "AlphaGoPolicy": Case(Policy, {"board": (48, 19, 19)}),
}
