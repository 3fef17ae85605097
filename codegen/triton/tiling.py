"""Choice of blocks: tiles, warps, pipeline stages and splits of every launch, by the cost model alone.

What does not pay is left out: stages in chunks of images whose maps stay in the second-level cache. Were all their
traffic as fast as that cache, of 60 MB, a pass of ResNet-50, VGG-16 or U-Net over 32 or 128 samples in float16 on an
H200 would take 0.6% less at best, launches included: large layers wait for that cache already, small ones for latency.
And a chain of three, the next block's first 1x1 on a chain's tile, would take 1.3 to 1.7% off ResNet-50 at every batch.

Nothing is tried at run time. A matrix kernel gets, for each kind of GPU, a short list: from so many samples on, this
tile. Everything else in the backend takes what it is given here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, prod
from typing import Protocol

from netdsl.codegen.triton.cost import LONGEST, best_box, chain_bytes, predict, row_tiles, seen, stage_bytes
from netdsl.codegen.triton.devices import DEVICES, Device
from netdsl.codegen.triton.work import (
    Chain,
    Depthwise,
    Headed,
    Pair,
    Pooled,
    Product,
    Separable,
    Tables,
    Tile,
    Tiles,
    Traffic,
)  # fmt: skip
from netdsl.tensor import DType

BATCHES = (1, 8, 32, 128)
"""Samples for which tiles are chosen; each goes for all batches up to the next, but for its boxes (`_spans`)."""
MOST_STAGES = 8
"""Steps of a pipeline: as many of the smallest boxes, 10 KiB, as an SM can take from L2 while one is awaited."""
MOST_PROGRAMS = 512
"""Programs of a split product: more of them need no split.

All of a product's tiles are shared alike. To share only those of the last wave, or the steps of all evenly (stream K),
would gain by the model, were its sums free: 0.2% of ResNet-50 and VGG-16 on an H200, 2.6% of MobileNetV2. Left out.
"""


class Tiling(Protocol):
    """What a lowering asks."""

    def matrix(self, product: Product, shape: str) -> Tables:
        """Tiles of a product; `shape` is its name in the module."""

    def pair(self, pair: Pair, shape: str = "") -> Tables:
        """Tiles of two layers in one kernel, where that pays."""

    def pixels(self, columns: int) -> tuple[int, int]:
        """Rows and columns of a block of a pooling or depthwise kernel."""

    def rows(self, depth: int, along_rows: bool) -> tuple[int, int]:
        """Rows and depth of a block of a reduction; `along_rows` says that neighbours in memory are rows."""

    def attention(self, depth: int, dtype: DType) -> Tile:
        """Queries and keys of a block of attention in heads of so many features, with its warps and stages."""

    def block(self) -> int:
        """Elements of a block of a pointwise kernel."""


def power_above(number: int) -> int:
    """The least power of two that is not below `number`."""
    return 1 << max(number - 1, 0).bit_length()


@dataclass(frozen=True)
class DefaultTiling:
    """The tile of least predicted time; of equals, the first candidate."""

    def matrix(self, product: Product, shape: str) -> Tables:
        """See `Tiling`."""
        return tables(product)

    def pair(self, pair: Pair, shape: str = "") -> Tables:
        """See `Tiling`."""
        return pair_tables(pair)

    def pixels(self, columns: int) -> tuple[int, int]:
        """See `Tiling`."""
        n = min(power_above(columns), 64)
        return (1024 if n > 32 else 512) // n, n  # larger ones spill where Triton is 3.6

    def rows(self, depth: int, along_rows: bool) -> tuple[int, int]:
        """See `Tiling`."""
        if along_rows:
            return 32, min(power_above(depth), 64)
        k = min(power_above(depth), 4096)
        return max(min(2048 // k, 64), 1), k

    def attention(self, depth: int, dtype: DType) -> Tile:
        """The sums take `m * depth` registers of a block, the scores `m * n`."""
        wide = max(power_above(depth), 16)
        if dtype is DType.FLOAT32:
            return Tile(16, 16, wide, stages=2) if wide > 64 else Tile(32, 32, wide, stages=2)
        if wide > 128:
            return Tile(16, 16, wide, stages=2)
        return Tile(64, 32 if dtype is DType.TF32 else 64, wide, stages=2)

    def block(self) -> int:
        """See `Tiling`."""
        return 1024


@lru_cache(maxsize=4096)
def tables(product: Product) -> Tables:
    """The tiles of least predicted time, for every target."""
    kinds = (device for device in DEVICES.values() if product.dtype in device.macs)
    return tuple((device.target, _tiles(product, device)) for device in kinds)


@lru_cache(maxsize=4096)
def pair_tables(pair: Pair) -> Tables:
    """The tiles of least predicted time, where that is less than what both layers take apart."""
    everywhere = isinstance(pair, Separable | Headed) or (isinstance(pair, Pooled) and bool(pair.first.near))
    return tuple(
        (target, _pair_tiles(pair, device) if target == 90 or everywhere else ((1, None),))
        for target, device in DEVICES.items()
    )


def _pair_tiles(pair: Pair, device: Device) -> Tiles:
    found: list[tuple[int, Tile | None]] = []
    for batch in BATCHES:
        for least, most in _spans(batch * max(pair.samples, 1)):
            tiles = _paired(pair, device, batch, most)
            best = min(tiles, key=lambda tile: predict(pair, tile, device, batch).time, default=None)
            if best and predict(pair, best, device, batch).time >= apart(pair, device, batch, least):
                best = None
            if not found or best != found[-1][1]:
                found.append((least, best))
            if best and not _holds_most(best, least):
                break
    return tuple(found)


def _spans(samples: int) -> tuple[tuple[int, int], ...]:
    """From so many samples on, boxes of at most so many: of all at first, then of few, which other batches fill too."""
    return ((samples, samples), (samples + 1, max(samples // 4, 1)))


def _holds_most(tile: Tile, samples: int) -> bool:
    """Whether boxes hold more than a quarter of the samples: other batches would leave much of them empty."""
    return len(tile.box) == 3 and tile.box[0] > max(samples // 4, 1)


def _paired(pair: Pair, device: Device, batch: int, most: int) -> Iterator[Tile]:
    if isinstance(pair, Separable):
        return _separated(pair, device, batch, most)
    if isinstance(pair, Headed):
        # 64 rows are the least of a wgmma; on others large tiles leave no registers for a shallow step's addresses.
        tiles = _pointed(replace(pair.second, boxes=""), device, batch)
        fits = (lambda t: t.m >= 64) if device.target == 90 else (lambda t: t.m * t.n < 64 * 128 or t.k > 32)
        return filter(fits, tiles)
    if isinstance(pair, Pooled):
        return _pooled(pair, device) if pair.first.near else _pooled_boxes(pair.first, device, batch, most)
    if isinstance(pair, Chain):
        return _chained(pair, device, batch, most)
    return candidates(pair.product, device, batch, most)


def apart(pair: Pair, device: Device, batch: int, least: int) -> float:
    """Predicted microseconds of a kernel for each layer, with the tiles for `least` samples."""
    return sum(_alone(part, device, batch, least) for part in (pair.first, pair.second))


def _alone(part: Product | Depthwise | Traffic, device: Device, batch: int, least: int) -> float:
    tile = tile_for(dict(tables(part))[device.target], least) if isinstance(part, Product) else None
    return predict(part, tile, device, batch).time


def tile_for(tiles: Tiles, samples: int) -> Tile | None:
    """The tile for so many samples."""
    return [tile for least, tile in tiles if samples >= least][-1]


def _pooled(pooled: Pooled, device: Device) -> Iterator[Tile]:
    """Tiles of pixels that are pooled, a row of the kernel at a step. Four warps, as all that load by pointers."""
    first = pooled.first
    assert first.near
    k = max(power_above(first.near.channels * first.near.kernel[1]), 16)
    n = min(max(power_above(first.columns), 16), 64)
    # What was seen to spill is left out: wide elements, and on sm_80 and sm_89 long rows, leave no room for 256 pixels.
    boxes = [(8, 8)]
    if device.target == 90:
        boxes.append((8, 16))
    if first.dtype is not DType.TF32 and (device.target == 90 or (k <= 32 and pooled.size == 3)):
        boxes.append((16, 16))
    for h, w in boxes:
        for stages in (2, 3, 4):
            tile = Tile(h * w, n, k, 4, stages, 1, (h, w))
            if stages * stage_bytes(tile, first.dtype) <= device.shared - 4096:
                yield tile


def _pooled_boxes(product: Product, device: Device, batch: int, most: int) -> Iterator[Tile]:
    """Boxes of whole windows of 2 x 2 pixels, which share no depth."""
    return (
        tile
        for tile in _boxed(product, device, batch, most)
        if tile.split == 1 and tile.m >= 64 and all(side % 2 == 0 for side in tile.box[1:])
    )


def _chained(chain: Chain, device: Device, batch: int, most: int) -> Iterator[Tile]:
    """Tiles of chains. All columns of the first product are in a tile: it is multiplied by them as it is."""
    first = chain.first
    k = _box_depth(first)
    steps = first.taps * ceil(first.depth / k)
    height, width = first.out
    samples = max(first.samples, 1) * batch
    for m in (16, 32, 64, 128, 256):
        if m >= 2 * power_above(samples * height * width) and m > 16:
            continue
        for n in (64, 128, 256):
            widest = max(n, chain.hidden)
            if (n > 64 and n >= 2 * chain.second.columns) or m * widest > 256 * 128:
                continue
            warps = 8 if m * widest > 64 * 128 else 4
            tile = Tile(m, n, k, warps, 2, 1, best_box(samples, height, width, m, most))
            for stages in (3, 4, 5):
                staged = replace(tile, stages=max(min(stages, steps), 2))
                if chain_bytes(chain, staged) <= device.shared - 4096:
                    yield staged


def _tiles(product: Product, device: Device) -> Tiles:
    found: list[tuple[int, Tile]] = []
    for batch in BATCHES if product.samples else (1,):
        for least, most in _spans(batch * max(product.samples, 1)):
            tiles = candidates(product, device, batch, most)
            best = min(tiles, key=lambda tile: predict(product, tile, device, batch).time)
            if not found or best != found[-1][1]:
                found.append((least, best))
            if not _holds_most(best, least):
                break
    return tuple(found)


def candidates(product: Product, device: Device, batch: int, most: int) -> Iterator[Tile]:
    """The tiles that are known to compile well for a device, as far as they fit a product; boxes of `most` samples."""
    boxed = device.target == 90 and product.boxes and product.dtype is not DType.FLOAT32
    samples = max(product.samples, 1) * (batch if product.samples else 1)
    for tile in _boxed(product, device, batch, most) if boxed else _pointed(product, device, batch):
        all_steps = product.taps * ceil(product.depth / tile.k)
        programs = row_tiles(product, tile, samples) * ceil(product.columns / tile.n) * product.groups
        alone = (device.shared - 4096) // stage_bytes(tile, product.dtype)
        for split in (1, 2, 4, 8, 16):
            steps = ceil(all_steps / split)
            # Four warps with 128 x 128 sums have no registers left to add up other parts.
            full = not boxed and tile.m * tile.n > 128 * 64
            if split > 1 and (steps < 2 or full or programs * split > MOST_PROGRAMS):
                break
            # A block that is alone in its SM has all of the shared memory.
            stages = alone if programs * split <= device.processors else tile.stages
            stages = max(min(stages, steps, MOST_STAGES), 2) if boxed else tile.stages
            yield Tile(tile.m, tile.n, tile.k, tile.warps, stages, split, tile.box)


def _pointed(product: Product, device: Device, batch: int) -> Iterator[Tile]:
    """Tiles of kernels that load by pointers. A tile never spans more than its matrix.

    Four warps everywhere: kernels that load through pointers in one flat loop have been miscompiled with eight.
    """
    depth, columns = product.depth, product.columns
    rows = product.out[0] * product.out[1] * max(product.samples, 1) * batch
    if product.dtype is DType.FLOAT32:
        # Exact float32 has no tensor cores: small tiles.
        k = 16 if depth <= 16 else 32
        yield from (Tile(m, min(power_above(max(columns, 16)), 64), k) for m in (16, 32, 64) if m < 2 * max(rows, 16))
        return
    # A depth that is no multiple of 8 is read element by element, which takes registers; a short one wastes a step.
    long = product.dtype is not DType.TF32 and depth % 8 == 0 and (depth % 64 == 0 or depth >= 256)
    k = min(max(power_above(depth), _least_depth(product)), 64 if long else 32)
    widest = min(max(power_above(columns), 16), 128)
    for m in (16, 64, 128):
        for n in sorted({min(widest, 64), widest}):
            # 128 x 128 takes half of all registers for the sums alone: no room for a tail's operands, or wide elements.
            large = m * n > 128 * 64 and (product.reads or product.dtype is DType.TF32 or device.target < 90)
            if large or (m > 64 and depth % 8) or (m > 16 and m >= 2 * power_above(rows)):
                continue
            # Registers: on sm_80 and sm_89 the addresses of 128 windows leave none for a deep step.
            yield Tile(m, n, min(k, 32) if m > 64 and product.taps > 1 and device.target < 90 else k)


def _boxed(product: Product, device: Device, batch: int, most: int) -> Iterator[Tile]:
    """Tiles of kernels that fetch boxes (TMA). Weights are the left operand: their 64 rows are the least of a wgmma."""
    samples = max(product.samples, 1) * batch
    k = _box_depth(product)
    rows = samples * prod(product.out)
    for m in (16, 32, 64, 128, 256, 512):
        if (m >= 2 * power_above(rows) and m > 16) or (m > LONGEST and product.boxes == "rows"):
            continue
        box = _box(product, samples, m, most)
        # A thread holds 128 sums of 256 x 128: a crowded tail would have to put some of them away.
        largest = 128 * 128 if product.crowded else 256 * 128
        for n in (64, 128, 256):
            if (n > 64 and n >= 2 * product.columns) or m * n > largest:
                continue
            tile = Tile(m, n, k, 8 if m * n > 64 * 128 else 4, 2, 1, box)
            # Two blocks in an SM where that leaves three stages, else one.
            one, two = ((device.shared // blocks - 4096) // stage_bytes(tile, product.dtype) for blocks in (1, 2))
            yield replace(tile, stages=min(two if two >= 3 else one, MOST_STAGES))


def _box(product: Product, samples: int, m: int, most: int) -> tuple[int, ...]:
    """What a tile of m rows fetches whole."""
    height, width = product.out
    if product.boxes == "rows":
        return (m,)
    if product.boxes == "lines":
        return best_box(1, samples * height, width, m, 1)[1:]
    return best_box(samples, height, width, m, most)


def _box_depth(product: Product) -> int:
    """Elements of the depth in a box: 128 bytes, as the copy engine swizzles them, or fewer."""
    k = 128 // product.dtype.size
    while k > _least_depth(product) and (product.depth % k if product.even else k >= 2 * product.depth):
        k //= 2
    return k


def _least_depth(product: Product) -> int:
    """What the matrix units sum up at once, at least in the kernels that are here."""
    return 32 if product.dtype is DType.FLOAT8 else 16


def _separated(pair: Separable, device: Device, batch: int, most: int) -> Iterator[Tile]:
    """Tiles of a depthwise convolution and a product on its result: of equals, the box that sees least of the map.

    A thread reads 16 bytes at a time from each of two rows. Of few pixels weights are the left operand, as in boxes.
    """
    samples = max(pair.samples, 1) * batch
    wide = prod(pair.first.kernel) > 9
    sums = 8192 if device.target == 90 else 2048 if wide else 4096
    for m in (64, 128) if pair.dtype is DType.FLOAT32 else (16, 32, 64, 128):
        elements = 4096 // pair.dtype.size
        if device.target < 90 and (m < 64 or wide):
            elements //= 2  # registers: weights of mma lie there too
        k = max(elements // m, 16)
        widest = power_above(max(pair.second.columns, 64 if m < 64 else 16))
        for n in sorted({min(widest, 64), min(widest, 128)}):
            if m * n <= sums:
                yield Tile(m, n, k, 4, 1, 1, halo_box(pair.first, samples, m, most))


def halo_box(work: Depthwise, samples: int, m: int, most: int) -> tuple[int, int, int]:
    """Samples x height x width of m pixels, so that few pixels of the map are fetched for all boxes; rows in pairs."""
    height, width = work.out
    extents = [1 << i for i in range(m.bit_length())]
    boxes = [(m // (h * w), h, w) for h in extents[1:] for w in extents if h * w <= m]
    few = [box for box in boxes if box[0] <= most]
    return min(
        few, key=lambda box: ceil(samples / box[0]) * ceil(height / box[1]) * ceil(width / box[2]) * seen(work, box)
    )
