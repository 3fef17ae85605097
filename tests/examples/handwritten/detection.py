"""Detection networks: from their papers, or with torchvision's own parts where it has them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as f
from equality import Case
from torch import Tensor, nn
from torchvision.models import efficientnet_b0
from torchvision.models.detection import retinanet_resnet50_fpn, ssd300_vgg16
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops.roi_align import _roi_align

from .cheap import conv_norm
from .classics import towers

Plan = tuple[int | tuple[int, int], ...]


def unit(before: int, after: int, kernel: int = 1, stride: int = 1, norm: bool = True) -> nn.Sequential:
    """A convolution of Darknet's: padded, batch norm instead of a bias, leaky."""
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=not norm)
    return nn.Sequential(conv, *([nn.BatchNorm2d(after)] if norm else []), nn.LeakyReLU(0.1))


def yolo1(hidden: int = 4096, cells: int = 7) -> nn.Module:
    """Redmon et al. 2015, figure 3."""
    rows: tuple[tuple[int, int], ...] = (
        *((7, 64), (0, 0), (3, 192), (0, 0), (1, 128), (3, 256), (1, 256), (3, 512), (0, 0)),
        *(((1, 256), (3, 512)) * 4),
        *((1, 512), (3, 1024), (0, 0), *(((1, 512), (3, 1024)) * 2), (3, 1024), (-3, 1024), (3, 1024), (3, 1024)),
    )
    layers: list[nn.Module] = []
    before = 3
    for kernel, width in rows:
        if not kernel:
            layers.append(nn.MaxPool2d(2))
            continue
        layers.append(unit(before, width, abs(kernel), 2 if kernel in (7, -3) else 1, norm=False))
        before = width
    return nn.Sequential(
        *layers,
        *(nn.Flatten(), nn.Linear(1024 * cells**2, hidden), nn.LeakyReLU(0.1), nn.Dropout()),
        *(nn.Linear(hidden, cells**2 * 30), nn.Unflatten(1, (cells, cells, 30))),
    )


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(unit(width, width // 2), unit(width // 2, width, 3))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.inner(x)
        return y


def darknet_stages(w: int = 32) -> list[nn.Sequential]:
    """Redmon & Farhadi 2018, table 1."""
    stages, before = [unit(3, w, 3)], w
    for depth, width in ((1, 2 * w), (2, 4 * w), (8, 8 * w), (8, 16 * w), (4, 32 * w)):
        stages.append(nn.Sequential(unit(before, width, 3, 2), *(Residual(width) for _ in range(depth))))
        before = width
    return stages


def darknet53() -> nn.Module:
    return nn.Sequential(*darknet_stages(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 1000))


class YOLOv3(nn.Module):
    """Redmon & Farhadi 2018, section 2.3; widths as in the authors' configuration."""

    def __init__(self, classes: int = 80, w: int = 32) -> None:
        super().__init__()
        self.stages = nn.ModuleList(darknet_stages(w))
        out = 3 * (classes + 5)
        self.parts = nn.ModuleList()
        for before, width, last in ((32 * w, 16 * w, 0), (24 * w, 8 * w, 16 * w), (12 * w, 4 * w, 8 * w)):
            part = nn.ModuleDict()
            if last:
                part["reduce"] = unit(last, width)
            part["five"] = nn.Sequential(
                *(unit(before, width), unit(width, 2 * width, 3), unit(2 * width, width)),
                *(unit(width, 2 * width, 3), unit(2 * width, width)),
            )
            part["predict"] = nn.Sequential(unit(width, 2 * width, 3), nn.Conv2d(2 * width, out, 1))
            self.parts.append(part)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        results = []
        for part, finer in zip(self.parts, (None, maps[4], maps[3]), strict=True):
            if finer is not None:
                x = torch.cat([f.interpolate(part["reduce"](x), scale_factor=2.0), finer], 1)
            x = part["five"](x)
            results.append(part["predict"](x))
        return results


class YOLOv3Boxes(YOLOv3):
    """Ibid., section 2.1, with the anchors of section 2.3 for a picture of 416x416; a box after the other."""

    def forward(self, x: Tensor) -> list[Tensor]:
        sizes = ((116, 90), (156, 198), (373, 326), (30, 61), (62, 45), (59, 119), (10, 13), (16, 30), (33, 23))
        rows = []
        for number, y in enumerate(super().forward(x)):
            stride = 32 >> number
            y = y.unflatten(1, (3, -1))
            across = torch.arange(y.shape[4], dtype=y.dtype).to(y)
            down = torch.arange(y.shape[3], dtype=y.dtype).to(y)[:, None]
            width, height = torch.tensor(sizes[3 * number : 3 * number + 3], dtype=y.dtype).to(y).T[..., None, None]
            box = (
                (y[:, :, 0].sigmoid() + across) * stride,
                (y[:, :, 1].sigmoid() + down) * stride,
                y[:, :, 2].exp() * width,
                y[:, :, 3].exp() * height,
            )
            rows.append(torch.cat([torch.stack(box, 2), y[:, :, 4:].sigmoid()], 2).movedim(2, -1).flatten(1, 3))
        return [torch.cat(rows[::-1], 1)]


def cbs(before: int, after: int, kernel: int = 1, stride: int = 1, padding: int | None = None) -> nn.Sequential:
    around = kernel // 2 if padding is None else padding
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, around, bias=False), nn.BatchNorm2d(after, eps=1e-3), nn.SiLU()
    )


class CSP(nn.Module):
    """Wang et al. 2019, figure 2: one half goes through the bottlenecks, the other around them."""

    def __init__(self, before: int, width: int, depth: int, residual: bool = True) -> None:
        super().__init__()
        half = width // 2
        self.residual = residual
        self.enter = cbs(before, half)
        self.inner = nn.ModuleList(nn.Sequential(cbs(half, half), cbs(half, half, 3)) for _ in range(depth))
        self.around = cbs(before, half)
        self.join = cbs(2 * half, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.enter(x)
        for bottleneck in self.inner:
            y = y + bottleneck(y) if self.residual else bottleneck(y)
        joined: Tensor = self.join(torch.cat([y, self.around(x)], 1))
        return joined


class YOLOv5s(nn.Module):
    """The configuration of release 6.0."""

    def __init__(self, classes: int = 80, w: int = 32) -> None:
        super().__init__()
        self.stem = cbs(3, w, 6, 2, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(cbs(n * w, 2 * n * w, 3, 2), CSP(2 * n * w, 2 * n * w, depth))
            for n, depth in ((1, 1), (2, 2), (4, 3), (8, 1))
        )
        self.pyramid = nn.ModuleList([cbs(16 * w, 8 * w), cbs(32 * w, 16 * w)])
        self.reduce5 = cbs(16 * w, 8 * w)
        self.up4, self.reduce4 = CSP(16 * w, 8 * w, 1, False), cbs(8 * w, 4 * w)
        self.up3 = CSP(8 * w, 4 * w, 1, False)
        self.down4, self.out4 = cbs(4 * w, 4 * w, 3, 2), CSP(8 * w, 8 * w, 1, False)
        self.down5, self.out5 = cbs(8 * w, 8 * w, 3, 2), CSP(16 * w, 16 * w, 1, False)
        self.predict = nn.ModuleList(nn.Conv2d(n * w, 3 * (classes + 5), 1) for n in (4, 8, 16))

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        pools = [self.pyramid[0](x)]
        for _ in range(3):
            pools.append(f.max_pool2d(pools[-1], 5, 1, 2))
        t5 = self.reduce5(self.pyramid[1](torch.cat(pools, 1)))
        t4 = self.reduce4(self.up4(torch.cat([f.interpolate(t5, scale_factor=2.0), maps[2]], 1)))
        p3 = self.up3(torch.cat([f.interpolate(t4, scale_factor=2.0), maps[1]], 1))
        p4 = self.out4(torch.cat([self.down4(p3), t4], 1))
        p5 = self.out5(torch.cat([self.down5(p4), t5], 1))
        return [predict(p) for predict, p in zip(self.predict, (p3, p4, p5), strict=True)]


def convs(depth: int, before: int, width: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for index in range(depth):
        layers += [nn.Conv2d(width if index else before, width, 3, padding=1), nn.ReLU()]
    return layers


class SSD300(nn.Module):
    """Liu et al. 2015, section 3; rows of boxes as torchvision's heads put them."""

    def __init__(self, classes: int, w: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(*convs(2, 3, w), nn.MaxPool2d(2), *convs(2, w, 2 * w), nn.MaxPool2d(2), *convs(3, 2 * w, 4 * w)),
            *(nn.MaxPool2d(2, ceil_mode=True), *convs(3, 4 * w, 8 * w)),
        )
        self.gain = nn.Parameter(torch.rand(8 * w, 1, 1) + 19)
        self.extra = nn.ModuleList(
            [
                nn.Sequential(
                    *(nn.MaxPool2d(2), *convs(3, 8 * w, 8 * w), nn.MaxPool2d(3, 1, 1)),
                    *(nn.Conv2d(8 * w, 16 * w, 3, padding=6, dilation=6), nn.ReLU()),
                    *(nn.Conv2d(16 * w, 16 * w, 1), nn.ReLU()),
                )
            ]
        )
        for before, inner, after, stride, padding in (
            (16, 4, 8, 2, 1),
            (8, 2, 4, 2, 1),
            (4, 2, 4, 1, 0),
            (4, 2, 4, 1, 0),
        ):
            first, second = nn.Conv2d(before * w, inner * w, 1), nn.Conv2d(inner * w, after * w, 3, stride, padding)
            self.extra.append(nn.Sequential(first, nn.ReLU(), second, nn.ReLU()))
        self.values = (4, classes)
        self.heads = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(width * w, anchors * values, 3, padding=1) for values in self.values)
            for width, anchors in zip((8, 16, 8, 4, 4, 4), (4, 6, 6, 6, 4, 4), strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.features(x)
        maps = [self.gain * f.normalize(x)]
        for block in self.extra:
            x = block(x)
            maps.append(x)
        return [
            torch.cat(
                [head[i](m).movedim(1, 3).reshape(len(m), -1, n) for head, m in zip(self.heads, maps, strict=True)], 1
            )
            for i, n in enumerate(self.values)
        ]


class Apart(nn.Module):
    """torchvision's detector without what it does to pictures and boxes: its backbone, then its heads."""

    def __init__(self, detector: nn.Module, order: tuple[str, ...]) -> None:
        super().__init__()
        self.backbone: Any = detector.backbone
        self.head: Any = detector.head
        self.order = order

    def forward(self, x: Tensor) -> list[Tensor]:
        found = self.head(list(self.backbone(x).values()))
        return [found[name] for name in self.order]


def ssd() -> nn.Module:
    return Apart(ssd300_vgg16(weights=None, weights_backbone=None), ("bbox_regression", "cls_logits"))


def retinanet(classes: int = 91) -> nn.Module:
    model = retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=classes)
    return Apart(model, ("cls_logits", "bbox_regression"))


class FPN(nn.Module):
    """torchvision's, without the pool after its levels."""

    def __init__(self) -> None:
        super().__init__()
        self.net = resnet_fpn_backbone(backbone_name="resnet50", weights=None, norm_layer=nn.BatchNorm2d)

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.net(x).values())[:4]


class Fuse(nn.Module):
    """Tan et al. 2019, section 3.3: fast normalized fusion, then a separable convolution."""

    def __init__(self, width: int, maps: int) -> None:
        super().__init__()
        self.raw = nn.ParameterList(nn.Parameter(torch.rand(1) + 0.5) for _ in range(maps))
        self.conv = separable(width, width)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, *maps: Tensor) -> Tensor:
        weights = [f.relu(raw) for raw in self.raw]
        total = sum(w * x for w, x in zip(weights, maps, strict=True)) / (sum(weights) + 1e-4)
        y: Tensor = self.norm(self.conv(f.silu(total)))
        return y


def separable(before: int, after: int, bias: bool = False) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False), nn.Conv2d(before, after, 1, bias=bias)
    )


class BiFPN(nn.Module):
    """Ibid., figure 2 (d)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(Fuse(width, 2) for _ in range(4))
        self.up = nn.ModuleList(Fuse(width, 3 if index < 3 else 2) for index in range(4))

    def forward(self, p: list[Tensor]) -> list[Tensor]:
        inner = [p[4]]
        for fuse, x in zip(self.down, p[3::-1], strict=True):
            inner.insert(0, fuse(x, f.interpolate(inner[0], x.shape[2:])))
        out = [inner[0]]
        for level, fuse in enumerate(self.up, 1):
            small = f.max_pool2d(out[-1], 3, 2, 1)
            out.append(fuse(p[level], inner[level], small) if level < 4 else fuse(p[level], small))
        return out


class Head(nn.Module):
    """Convolutions that all levels share, norms that they do not."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        layers = [layer for _ in range(3) for layer in (separable(width, width), nn.BatchNorm2d(width))]
        self.finest = nn.ModuleList([*layers, separable(width, out, True)])
        self.norms = nn.ModuleList(nn.ModuleList(nn.BatchNorm2d(width) for _ in range(3)) for _ in range(4))

    def forward(self, p: list[Tensor]) -> list[Tensor]:
        convs, results = self.finest[::2], []
        for x, norms in zip(p, (self.finest[1::2], *self.norms), strict=True):
            for conv, norm in zip(convs, norms, strict=False):
                x = f.silu(norm(conv(x)))
            results.append(convs[3](x))
        return results


class EfficientDetD0(nn.Module):
    """Ibid., table 1, on torchvision's EfficientNet-B0."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = efficientnet_b0(weights=None).features[:8]
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(n, 64, 1, bias=False), nn.BatchNorm2d(64)) for n in (40, 112, 320, 320)
        )
        self.rounds = nn.Sequential(*(BiFPN(64) for _ in range(3)))
        self.scores, self.deltas = Head(64, 810), Head(64, 36)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in (3, 5, 7):
                maps.append(x)
        p = [lateral(m) for lateral, m in zip(self.lateral, (*maps, maps[-1]), strict=True)]
        p[3] = f.max_pool2d(p[3], 3, 2, 1)
        features = self.rounds([*p, f.max_pool2d(p[3], 3, 2, 1)])
        return [*self.scores(features), *self.deltas(features)]


class RCNN(nn.Module):
    """Girshick et al. 2013, section 2: AlexNet's two towers over regions, one after another."""

    def __init__(self, hidden: int = 4096) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*list(towers())[:15])
        self.classifier = nn.Sequential(
            *(nn.Linear(9216, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout()),
        )
        self.scores, self.deltas = nn.Linear(hidden, 21), nn.Linear(9216, 84)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        maps = torch.stack([self.trunk(sample).flatten(1) for sample in regions])
        return self.scores(self.classifier(maps)), self.deltas(maps)


def vgg16() -> nn.Sequential:
    layers, before = [], 3
    for depth, width in ((2, 64), (2, 128), (3, 256), (3, 512)):
        layers += [*convs(depth, before, width), nn.MaxPool2d(2)]
        before = width
    return nn.Sequential(*layers, *convs(3, 512, 512))


class FastRCNN(nn.Module):
    """Girshick 2015, section 2."""

    def __init__(self, hidden: int = 4096) -> None:
        super().__init__()
        self.trunk = vgg16()
        self.classifier = nn.Sequential(
            *(nn.Linear(25088, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout()),
        )
        self.scores, self.deltas = nn.Linear(hidden, 21), nn.Linear(hidden, 84)

    def forward(self, image: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.trunk(image)
        features = self.classifier(pooled(maps, regions / 16).flatten(2))
        return f.softmax(self.scores(features), 2), self.deltas(features)


def pooled(maps: Tensor, regions: Tensor) -> Tensor:
    """Section 2.1: the maximum of 7x7 cells of each region, which lies inside the map."""
    if maps.is_meta:
        return maps.new_empty(len(maps), regions.shape[1], maps.shape[1], 7, 7)
    cells = [
        torch.stack([f.adaptive_max_pool2d(m[:, t : b + 1, a : c + 1], 7) for a, t, c, b in corners.tolist()])
        for m, corners in zip(maps, (regions + 0.5).floor().long(), strict=True)
    ]
    return torch.stack(cells)


class RegionProposals(nn.Module):
    """Ren et al. 2015, section 3.1."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(vgg16(), nn.Conv2d(512, 512, 3, padding=1), nn.ReLU())
        self.scores, self.deltas = nn.Conv2d(512, 18, 1), nn.Conv2d(512, 36, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        window = self.trunk(image)
        return self.scores(window), self.deltas(window)


class MaskHeads(nn.Module):
    """torchvision's heads on its own RoI align in Python."""

    def __init__(self, classes: int = 91, hidden: int = 1024, width: int = 256) -> None:
        super().__init__()
        self.shared = TwoMLPHead(256 * 49, hidden)
        self.predict = FastRCNNPredictor(hidden, classes)
        self.masks = nn.Sequential(MaskRCNNHeads(256, (width,) * 4, 1), MaskRCNNPredictor(width, width, classes))

    def forward(self, features: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scores, deltas = self.predict(self.shared(regions(features, boxes, 7)))
        results = (scores, deltas, self.masks(regions(features, boxes, 14)))
        return tuple(result.unflatten(0, boxes.shape[:2]) for result in results)  # type: ignore[return-value]


def regions(features: Tensor, boxes: Tensor, size: int) -> Tensor:
    samples = torch.arange(len(boxes), device=boxes.device).repeat_interleave(boxes.shape[1])[:, None]
    rows = torch.cat([samples.to(boxes.dtype), boxes.flatten(0, 1)], 1)
    found: Tensor = _roi_align.__wrapped__(features, rows, 1 / 16, size, size, 2, False)
    return found


def staying(boxes: Tensor, scores: Tensor, count: int, iou: float, least: float) -> Tensor:
    """Which boxes stay: every one against every better one."""
    kept = torch.full((len(scores), count), -1, device=boxes.device)
    if boxes.is_meta:
        return kept
    for row, mine, score in zip(kept, boxes, scores, strict=True):
        low, high = torch.maximum(mine[:, None, :2], mine[:, :2]), torch.minimum(mine[:, None, 2:], mine[:, 2:])
        shared = (high - low).clamp(min=0).prod(-1)
        area = (mine[:, 2:] - mine[:, :2]).prod(-1)
        free = score > least
        for place in range(count):
            if not free.any():
                break
            row[place] = best = int(torch.where(free, score, -torch.inf).argmax())
            free &= shared[best] <= iou * (area[best] + area - shared[best])
            free[best] = False
    return kept


def rows_at(x: Tensor, at: Tensor) -> Tensor:
    """Rows of each sample, zeros for -1."""
    known = (at >= 0).reshape(*at.shape, *[1] * (x.ndim - 2))
    places = at.clamp(min=0).reshape(known.shape).expand(*at.shape, *x.shape[2:])
    return torch.gather(x, 1, places) * known


class Detector(nn.Module):
    """Predictions for boxes of two shapes at each place of one map, decoded as in Girshick et al. 2013, appendix C."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *(layer for a, b in ((1, 16), (16, 32), (32, 64)) for layer in (conv_norm(a, b, 3, 2), nn.ReLU()))
        )
        self.deltas, self.classes = nn.Conv2d(64, 8, 3, padding=1), nn.Conv2d(64, 20, 3, padding=1)

    def forward(self, image: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.trunk(image)
        deltas = self.deltas(features).movedim(1, 3).reshape(len(image), -1, 4)
        scores = self.classes(features).movedim(1, 3).reshape(len(image), -1, 10).sigmoid()
        x, y, w, h = anchors.unbind(2)
        cx, cy = x + deltas[..., 0] * w, y + deltas[..., 1] * h
        w, h = w * deltas[..., 2].exp(), h * deltas[..., 3].exp()
        boxes = torch.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], 2)
        best, kind = scores.max(2)
        score, at = best.topk(20)
        box = rows_at(boxes, at)
        kept = staying(box, score, 12, 0.3, 0.0)
        return rows_at(box, kept), rows_at(score, kept), rows_at(rows_at(kind, at), kept)


class DigitFinder(nn.Module):
    """Each region through the digits' classifier."""

    def __init__(self, candidates: int, least: float) -> None:
        super().__init__()
        self.settings = candidates, least
        layers = [nn.Sequential(*convs(2, before, width), nn.MaxPool2d(2)) for before, width in ((1, 24), (24, 48))]
        self.classify = nn.Sequential(*layers, nn.Flatten(), nn.Linear(192, 96), nn.ReLU(), nn.Linear(96, 10))
        for parameter in self.classify.parameters():
            parameter.data *= 3  # regions are of different classes then

    def forward(self, page: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        candidates, least = self.settings
        samples = torch.arange(len(boxes), device=boxes.device).repeat_interleave(boxes.shape[1])[:, None]
        listed = torch.cat([samples.to(boxes.dtype), boxes.flatten(0, 1)], 1)
        window = _roi_align.__wrapped__(page, listed, 1.0, 8, 8, 1, True)
        likelihood, digit = f.softmax(self.classify(window), 1).max(1)
        score, at = (likelihood * window.mean((1, 2, 3))).unflatten(0, boxes.shape[:2]).topk(candidates)
        box = rows_at(boxes, at)
        kept = staying(box, score, 30, 0.1, least)
        return rows_at(box, kept), rows_at(score, kept), rows_at(rows_at(digit.unflatten(0, boxes.shape[:2]), at), kept)


CASES = {
    "YOLOv1": Case(lambda: yolo1(64, 2), (3, 131, 131), settings={"hidden": 64}, full=yolo1),
    "Darknet53": Case(darknet53, (3, 75, 91)),
    "YOLOv3": Case(lambda: YOLOv3(3, 8), (3, 64, 96), settings={"classes": 3, "width": 8}, full=YOLOv3),
    "YOLOv3Boxes": Case(lambda: YOLOv3Boxes(3, 8), (3, 32, 64), settings={"classes": 3, "width": 8}, full=YOLOv3Boxes),
    "YOLOv5s": Case(lambda: YOLOv5s(3, 8), (3, 64, 96), settings={"classes": 3, "width": 8}, full=YOLOv5s),
    "SSD300": Case(lambda: SSD300(5, 4), (3, 300, 300), settings={"classes": 5, "width": 4}, full=ssd),
    "FPN": Case(FPN, (3, 75, 91)),
    "RetinaNet": Case(lambda: retinanet(5), (3, 75, 91), settings={"classes": 5}, full=retinanet),
    "EfficientDetD0": Case(EfficientDetD0, (3, 75, 91)),
    "RCNN": Case(lambda: RCNN(64), {"regions": (2, 3, 227, 227)}, settings={"hidden": 64, "rois": 2}, full=RCNN),
    "FastRCNN": Case(
        lambda: FastRCNN(64),
        {"image": (3, 75, 91), "regions": (3, 4)},
        settings={"hidden": 64, "rois": 3},
        full=FastRCNN,
    ),
    "Detector": Case(Detector, {"image": (1, 24, 40), "anchors": (30, 4)}, settings={"candidates": 20}, full=Detector),
    "DigitFinder": Case(
        lambda: DigitFinder(20, -1.0),
        {"page": (1, 23, 31), "boxes": (40, 4)},
        settings={"regions": 40, "candidates": 20, "least": -1.0},
        full=lambda: DigitFinder(1000, 0.2),
    ),
    "RegionProposals": Case(RegionProposals, (3, 75, 91)),
    "MaskRCNNHeads": Case(
        lambda: MaskHeads(5, 64, 16),
        {"features": (256, 11, 13), "boxes": (3, 4)},
        settings={"classes": 5, "hidden": 64, "rois": 3, "width": 16},
        full=MaskHeads,
    ),
}
