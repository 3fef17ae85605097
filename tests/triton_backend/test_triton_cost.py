"""The cost model: its limits are the hardware's, and what it chooses fits the hardware."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest

import netdsl
from netdsl.codegen.triton.backend import forecast
from netdsl.codegen.triton.cost import best_box, predict, stage_bytes
from netdsl.codegen.triton.devices import DEVICES, H200, Device
from netdsl.codegen.triton.tiling import BATCHES, candidates, tables
from netdsl.codegen.triton.work import Near, Product, Tile, Traffic
from netdsl.tensor import DType

HALF = DType.FLOAT16
STAGE_3 = Product(1, (14, 14), 256, 256, 9, 256 * 14 * 14, 9 * 256 * 256, HALF, boxes="windows")
"""The 3x3 convolutions of ResNet-50's third stage."""
EXPAND = Product(1, (1, 3136), 256, 64, 1, 64 * 3136, 64 * 256, HALF, 1, boxes="rows")
"""A 1x1 convolution of its first stage, with a residual to add: limited by memory."""
CLASSES = Product(1, (1, 1), 1000, 2048, 1, 2048, 1000 * 2048, HALF, boxes="rows")
PRODUCTS = {
    "3x3": STAGE_3,
    "1x1": EXPAND,
    "fc": CLASSES,
    "stride 2": replace(STAGE_3, even=True, depth=48, weights=9 * 48 * 256),
    "tf32": replace(STAGE_3, dtype=DType.TF32),
    "exact": replace(STAGE_3, dtype=DType.FLOAT32),
    "packed": Product(1, (112, 112), 64, 196, 1, 4 * 224 * 224, 147 * 64, HALF, near=Near(4, (7, 7), (2, 2))),
    "groups": Product(1, (7, 7), 17, 24, 9, 24 * 49 * 4, 24 * 17 * 9 * 4, HALF, groups=4),
    "odd": Product(1, (5, 5), 15, 17, 9, 17 * 25, 15 * 17 * 9, HALF),
}


def chosen(product: Product, device: Device, batch: int) -> Tile:
    return [tile for least, tile in dict(tables(product))[device.target] if batch >= least][-1]


@pytest.mark.parametrize("device", DEVICES.values(), ids=lambda device: device.name)
@pytest.mark.parametrize("name", PRODUCTS)
def test_no_prediction_is_below_what_the_hardware_needs(name: str, device: Device) -> None:
    product = PRODUCTS[name]
    for batch in BATCHES:
        found = predict(product, chosen(product, device, batch), device, batch)
        arithmetic = batch * product.macs / (device.processors * device.macs[product.dtype] * device.clock)
        result = product.out[0] * product.out[1] * product.columns * product.groups
        moved = batch * (product.source + (1 + product.reads) * result) + product.weights
        assert found.time >= device.launch + max(arithmetic, moved * product.dtype.size / device.memory)
        assert found.limit in {"tensor", "shared", "memory", "L2", "latency", "cores"}


def test_limits_are_what_they_must_be() -> None:
    assert predict(EXPAND, chosen(EXPAND, H200, 128), H200, 128).limit == "memory"
    assert predict(STAGE_3, chosen(STAGE_3, H200, 1), H200, 1).limit == "latency"
    alone = predict(CLASSES, replace(chosen(CLASSES, H200, 1), split=1), H200, 1)
    assert predict(CLASSES, chosen(CLASSES, H200, 1), H200, 1).time < alone.time, "splitting the depth pays"
    assert predict(Traffic(1, 1 << 24, 0, 0, HALF), None, H200, 8).limit == "memory"
    windows = PRODUCTS["packed"]
    assert predict(windows, chosen(windows, H200, 32), H200, 32).limit == "cores", "addresses, not bytes"
    assert predict(Traffic(1, 1, 0, 1 << 30, HALF), None, H200, 1).limit == "cores"
    assert predict(Traffic(0, 1, 0, 0, HALF), None, H200, 1000).limit == "latency"


@pytest.mark.parametrize("device", DEVICES.values(), ids=lambda device: device.name)
@pytest.mark.parametrize("name", PRODUCTS)
def test_candidates_fit_the_hardware(name: str, device: Device) -> None:
    product = PRODUCTS[name]
    for batch in BATCHES:
        found = [tile for most in (1, batch) for tile in candidates(product, device, batch, most)]
        assert found
        assert chosen(product, device, batch).box == () or device.target == 90
        for tile in found:
            assert tile.stages * stage_bytes(tile, product.dtype) < device.shared, tile
            assert tile.m * tile.n <= 128 * 32 * tile.warps, "at most half of a thread's registers are sums"
            assert tile.warps == 4 or tile.box, "kernels that load by pointers have four warps"
            assert not product.even or not tile.box or product.depth % tile.k == 0
            assert len(tile.box) == 0 or (tile.n >= 64 and max(tile.box) <= 256)


@pytest.mark.parametrize("most", [1, 4])
def test_boxes_cover_maps_with_little_waste(most: int) -> None:
    for samples, extent, m in ((128, 14, 128), (128, 28, 128), (32, 56, 256), (1, 7, 64), (8, 7, 64)):
        b, h, w = best_box(samples, extent, extent, m, max(samples // most, 1))
        assert b * h * w == m
        assert b <= max(samples // most, 1)
        covered = ceil(samples / b) * ceil(extent / h) * ceil(extent / w) * m
        assert covered <= 1.31 * samples * extent * extent
    assert best_box(32, 14, 14, 128, 32) == (32, 2, 2), "nothing is wasted"
    assert best_box(512, 1, 1, 512, 512) == (256, 1, 2), "sides of 256 at most"


def test_boxes_of_all_samples_are_for_that_batch_alone() -> None:
    table = dict(tables(STAGE_3))[90]
    held = {least: tile.box[0] for least, tile in table}
    assert held[32] > 8 >= held[33]
    assert all(samples <= least // 4 or least in BATCHES for least, samples in held.items())


@pytest.mark.parametrize(
    ("title", "file", "net", "shapes"),
    [
        ("ResNet-50", "resnet.net", "ResNet50", {}),
        ("VGG-16", "vgg.net", "VGG16", {}),
        ("MobileNetV2", "mobilenet2.net", "MobileNetV2", {}),
        ("U-Net, 256x256", "unet.net", "UNetSame", {"image": (3, 256, 256)}),
    ],
)
def test_the_readme_says_what_is_predicted(title: str, file: str, net: str, shapes: dict[str, tuple[int, ...]]) -> None:
    root = Path(__file__).parents[2]
    graph = netdsl.load(root / "examples" / file, net=net, shape=shapes).graph
    cells = [f"{time:.0f} ({limit:.0f})" for time, limit in (forecast(graph, HALF, batch) for batch in BATCHES)]
    assert f"| {title} | {' | '.join(cells)} |" in (root / "README.md").read_text(encoding="utf-8")
