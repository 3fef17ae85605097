"""A roofline model of every kernel: predicted microseconds and the resource that limits it. Nothing here was measured.

A launch costs its device's launch time, and then what its slowest resource takes (Williams, Waterman & Patterson 2009,
"Roofline"). For a matrix product of tiles m x n, k deep at a step, with S splits of the depth:

    programs  P = tiles of rows * tiles of columns * S,  of `steps` steps each;  Q = ceil(P / SMs) in the busiest SM
    tensor    Q * steps * (m n k / rate)                                       multiply-accumulate units
    shared    Q * steps * (bytes that they read from shared memory / 128 B a cycle)
    memory    (each tensor once) / memory bandwidth
    L2        (P * steps * (m + n) k + each tensor written or read in the tail + sums of splits, twice) / L2 bandwidth
    latency   rounds * (fill + steps * wait + drain),  rounds = ceil(Q / programs that an SM holds at once)

Windows of few channels come through the first-level cache (lanes copy 8 bytes at a time, which it keeps): from L2 a
program takes their distinct elements, not m k at a step. Such a kernel has one limit more, as working out where in its
window each element lies takes more instructions than multiplying it:

    cores     Q * instructions of a program's warps / 4 a cycle

A convolution that is pooled in its tile computes the pixels at the tile's edges once more in the next one, and writes
maxima alone; they are sorted out by way of shared memory.

A chain of two products reads and writes nothing in between; its second one has a step for each `n` of its columns.
`wait` is what a step of one program takes at least, `latency / (stages - 1)`, its arithmetic, or to fetch its bytes.
Everything else is limited by memory, by ordinary arithmetic, or by latency.

A depthwise convolution reads its windows through the first-level cache, at the rate of shared memory; what a tile sees
comes from L2 once. Where a product follows in the same kernel, each step of `k` channels waits for its own windows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import product as combinations
from math import ceil, prod
from typing import NamedTuple

from netdsl.codegen.triton.devices import Device
from netdsl.codegen.triton.work import (
    Chain,
    Depthwise,
    Headed,
    Near,
    Pooled,
    Product,
    Separable,
    Sum,
    Tile,
    Traffic,
    Work,
)
from netdsl.tensor import DType

LONGEST = 256
"""Elements along a side of a box (CUDA driver API, cuTensorMapEncodeTiled)."""
SHARED_RATE = 128
"""Bytes a cycle that an SM reads from shared memory."""
PORT = 64
"""Bytes a cycle that an SM takes from L2, or gives."""
REGISTERS = 65536
"""Registers of an SM."""
DRAIN = 0.4
"""Microseconds of a program's tail and store, beyond their bytes."""
ON_READING = 4
"""Operations on an element of what a product reads: it is widened, scaled and shifted, cut off, narrowed."""
CORES = 128
"""Ordinary multiply-accumulates, or loads of an element, a cycle in an SM."""
HEAD = 200
"""Instructions of a warp before and after its sums; this and the next three are counted in machine code for sm_90."""
EACH = 8
"""Instructions for each of a lane's elements of the result."""
PLACED = 20
"""Instructions for each of a lane's copies of four elements, where it works out their places in a window."""
STRAIGHT = 7
"""The same where only a row of the kernel is added to an address."""
SORTED = {2: 2, 3: 10}
"""How often a pooled result passes shared memory, written, read or shuffled, by the size of the windows."""


@dataclass(frozen=True)
class Estimate:
    """Predicted microseconds of one launch, and what limits it: tensor, shared, memory, L2, cores or latency."""

    time: float
    limit: str


def predict(work: Work, tile: Tile | None, device: Device, batch: int) -> Estimate:
    """The time of one launch for so many samples."""
    if isinstance(work, Traffic):
        return _traffic(work, device, batch)
    if isinstance(work, Depthwise):
        return _depthwise(work, device, batch)
    assert tile
    if isinstance(work, Separable):
        return _separable(work, tile, device, batch)
    if isinstance(work, Chain):
        return _chain(work, tile, device, batch)
    if isinstance(work, Pooled):
        return _pooled(work, tile, device, batch) if work.first.near else _product(work.first, tile, device, batch, 4)
    if isinstance(work, Headed):
        return _headed(work, tile, device, batch)
    return _product(work.product if isinstance(work, Sum) else work, tile, device, batch)


class Amounts(NamedTuple):
    """Multiply-accumulates and bytes of a sample, and bytes whatever the batch: weights, and what is made of them."""

    macs: int
    moved: int
    once: int


def amounts(work: Work) -> tuple[Amounts, ...]:
    """What a launch has to do at least, for each layer of a pair: each tensor moved once."""
    if isinstance(work, Chain | Sum | Separable | Headed | Pooled):
        return (*amounts(work.first), *amounts(work.second))
    size = work.dtype.size
    if isinstance(work, Traffic):
        macs, moved = 0, work.moved * size
    elif isinstance(work, Depthwise):
        macs, moved = 0, (work.source + (1 + work.reads) * prod(work.out) * work.channels) * size
    else:
        macs, moved = work.macs, work.source * size + (1 + work.reads) * work.result
    once = work.weights * size + (0 if work.samples else moved)
    return (Amounts(work.samples * macs, work.samples * moved, once),)


def rate(device: Device, dtype: DType) -> float:
    """Multiply-accumulates a microsecond of a whole device."""
    return device.processors * device.macs[dtype] * device.clock


def floor(work: Work, device: Device, batch: int) -> float:
    """Microseconds that no kernel of a layer can undercut: all arithmetic at the full rate, or each tensor moved."""
    full = rate(device, work.dtype)
    return sum(max(batch * macs / full, (batch * moved + once) / device.memory) for macs, moved, once in amounts(work))


def _traffic(work: Traffic, device: Device, batch: int) -> Estimate:
    samples = max(work.samples, 1) * (batch if work.samples else 1)
    size = work.dtype.size
    times = {
        "memory": (samples * work.moved + work.weights) * size / device.memory,
        "cores": samples * work.operations / (device.processors * CORES * device.clock),
        "latency": device.latency + DRAIN,
    }
    return _slowest(device, times)


def _depthwise(work: Depthwise, device: Device, batch: int) -> Estimate:
    """Programs of `block` elements, 16 pixels in a row of the map by channels; each waits once for all its windows."""
    samples = max(work.samples, 1) * (batch if work.samples else 1)
    size, taps = work.dtype.size, prod(work.kernel)
    result = samples * prod(work.out) * work.channels
    busiest = ceil(ceil(result / work.block) / device.processors)
    resident = max(REGISTERS // (3 * work.block + 4 * 32 * 48), 1)
    height, width = work.kernel[0], (15 * work.stride[1] + work.kernel[1]) / 16
    moved = (samples * work.source + (1 + work.reads) * result + work.weights) * size
    return _slowest(device, {
        "cores": busiest * work.block * taps / CORES / device.clock,
        "shared": busiest * work.block * taps * size / SHARED_RATE / device.clock,
        "memory": moved / device.memory,
        "L2": (result * (height * width + 1 + work.reads)) * size / device.l2,
        "latency": ceil(busiest / resident) * (device.latency + DRAIN),
    })  # fmt: skip


def _separable(work: Separable, tile: Tile, device: Device, batch: int) -> Estimate:
    first, second = work.first, work.second
    samples = max(work.samples, 1) * (batch if work.samples else 1)
    size, taps = work.dtype.size, prod(first.kernel)
    programs = row_tiles(first, tile, samples) * ceil(second.columns / tile.n)
    busiest = ceil(programs / device.processors)
    steps = ceil(first.channels / tile.k)
    tensor = tile.m * tile.n * tile.k / device.macs[work.dtype] / device.clock
    cores = tile.m * tile.k * taps / CORES / device.clock
    windows = tile.m * tile.k * reads_of_pair(first) / 2
    shared = (windows + tile.k * _shared_reads(tile, whole=False)) * size / SHARED_RATE / device.clock
    result = samples * prod(first.out) * second.columns * size
    moved = (1 + second.reads) * result
    fetched = (seen(first, tile.box) + tile.n) * tile.k * size
    drain = DRAIN + (1 + second.reads) * tile.m * tile.n * size / (PORT * device.clock)
    rounds = ceil(busiest / separable_resident(work, tile))
    return _slowest(device, {
        "tensor": busiest * steps * tensor,
        "cores": busiest * steps * cores,
        "shared": busiest * steps * shared,
        "memory": ((samples * first.source + first.weights + second.weights) * size + moved) / device.memory,
        "L2": (programs * steps * fetched + moved) / device.l2,
        "latency": rounds * (steps * (device.latency + cores + shared + tensor) + drain),
    })  # fmt: skip


def reads_of_pair(work: Depthwise) -> int:
    """Loads for the windows of two pixels, one below the other."""
    return (work.kernel[0] + work.stride[0]) * work.kernel[1]


def seen(work: Depthwise, box: tuple[int, ...]) -> int:
    """Pixels of the map that windows of a box see."""
    sides = zip(box[1:], work.kernel, work.stride, strict=True)
    return box[0] * prod((side - 1) * step + extent for side, extent, step in sides)


def separable_resident(work: Separable, tile: Tile) -> int:
    """Programs that an SM holds at once: sums of both, and what a step has loaded."""
    loaded = reads_of_pair(work.first) * work.dtype.size / 8 + 1.5
    registers = tile.m * tile.n + tile.m * tile.k * loaded + 32 * tile.warps * 48
    return max(int(REGISTERS // registers), 1)


def _slowest(device: Device, times: dict[str, float]) -> Estimate:
    """A launch, then what its slowest resource takes."""
    limit = max(times, key=times.__getitem__)
    return Estimate(device.launch + times[limit], limit)


def _product(work: Product, tile: Tile, device: Device, batch: int, pooled: int = 1) -> Estimate:
    """`pooled`: of how many elements of the result the largest alone is written."""
    samples = max(work.samples, 1) * (batch if work.samples else 1)
    size = work.dtype.size
    programs = row_tiles(work, tile, samples) * ceil(work.columns / tile.n) * work.groups * tile.split
    steps = ceil(work.taps * ceil(work.depth / tile.k) / tile.split)
    busiest = ceil(programs / device.processors)
    tensor = tile.m * tile.n * tile.k / device.macs[work.dtype] / device.clock
    shared = tile.k * size * _shared_reads(tile, bool(tile.box)) / SHARED_RATE / device.clock
    result = samples * work.result / pooled
    sums = 2 * programs * tile.m * tile.n * 4 if tile.split > 1 else 0
    fetch = 0 if work.near else (tile.m + tile.n) * tile.k * size / (PORT * device.clock)
    wait = max(tensor, shared, fetch, device.latency / max(tile.stages - 1, 1))
    drain = DRAIN + (1 + work.reads) * tile.m * tile.n * (work.kept or work.dtype).size / (PORT * device.clock)
    if tile.split > 1:
        drain += device.latency + tile.split * tile.m * tile.n * 4 / (PORT * device.clock)
    rounds = ceil(busiest / resident(tile, work.dtype, device))
    anew = tile.m * tile.k * steps
    fetched = tile.n * tile.k * steps + (min(anew, work.near.elements(1, tile.m)) if work.near else anew)
    times = {
        "tensor": busiest * steps * tensor,
        "shared": busiest * steps * shared,
        "memory": (samples * work.source * size + work.weights * size + (1 + work.reads) * result) / device.memory,
        "L2": (programs * fetched * size + (1 + work.reads) * result + sums) / device.l2,
        "latency": rounds * (device.latency + steps * wait + drain),
    }
    if work.near:
        times["cores"] = busiest * _issue(tile, work.near, steps, PLACED) / device.clock
    return _slowest(device, times)


def _issue(tile: Tile, near: Near, steps: int, copy: int) -> float:
    """Cycles in which an SM issues all instructions of a program that copies windows of few channels."""
    lanes = 32 * tile.warps
    copies = (tile.m + tile.n) * tile.k / (4 if near.channels % 4 == 0 else 1) / lanes
    return (HEAD + EACH * tile.m * tile.n / lanes + steps * copies * copy) * tile.warps / 4


def _pooled(work: Pooled, tile: Tile, device: Device, batch: int) -> Estimate:
    first, near = work.first, work.first.near
    assert near
    size = work.dtype.size
    samples = max(work.samples, 1) * (batch if work.samples else 1)
    height, width = work.out
    high, wide = work.covered(tile.box)
    programs = samples * ceil(height / high) * ceil(width / wide) * ceil(first.columns / tile.n)
    steps = near.kernel[0]
    busiest = ceil(programs / device.processors)
    tensor = tile.m * tile.n * tile.k / device.macs[work.dtype] / device.clock
    shared = tile.k * size * _shared_reads(tile, device.target == 90) / SHARED_RATE / device.clock
    tail = SORTED[work.size] * tile.m * tile.n / 4 * size / SHARED_RATE / device.clock
    wait = max(tensor, shared, device.latency / max(tile.stages - 1, 1))
    rounds = ceil(busiest / resident(tile, work.dtype, device))
    result = samples * height * width * first.columns * size
    fetched = near.elements(*tile.box) + tile.n * tile.k * steps
    times = {
        "tensor": busiest * steps * tensor,
        "shared": busiest * (steps * shared + tail),
        "memory": ((samples * first.source + first.weights) * size + result) / device.memory,
        "L2": (programs * fetched * size + result) / device.l2,
        "cores": busiest * _issue(tile, near, steps, STRAIGHT) / device.clock,
        "latency": rounds * (device.latency + steps * wait + DRAIN + tail),
    }
    return _slowest(device, times)


def _headed(work: Headed, tile: Tile, device: Device, batch: int) -> Estimate:
    """The product by pointers; every tile of columns does the head's operations again."""
    product = replace(work.second, boxes="")
    samples = max(work.samples, 1) * (batch if work.samples else 1)
    busiest = ceil(row_tiles(product, tile, samples) * ceil(product.columns / tile.n) / device.processors)
    steps = ceil(product.depth / tile.k)
    cores = Estimate(device.launch + busiest * steps * tile.m * tile.k * ON_READING / CORES / device.clock, "cores")
    return max(_product(product, tile, device, batch), cores, key=lambda found: found.time)


def row_tiles(work: Product | Depthwise, tile: Tile, samples: int) -> int:
    """Tiles that cover the rows of so many samples."""
    height, width = work.out
    if len(tile.box) == 3:
        b, h, w = tile.box
        return ceil(samples / b) * ceil(height / h) * ceil(width / w)
    if len(tile.box) == 2:
        h, w = tile.box
        return ceil(samples * height / h) * ceil(width / w)
    return ceil(samples * height * width / tile.m)


def _chain(work: Chain, tile: Tile, device: Device, batch: int) -> Estimate:
    """Both products of a tile, one after the other; weights of the second and what its tail reads come a step ahead."""
    first, second = work.first, work.second
    size = first.dtype.size
    samples = max(work.samples, 1) * (batch if work.samples else 1)
    programs = row_tiles(first, tile, samples)
    busiest = ceil(programs / device.processors)
    parts = (
        (first.taps * ceil(first.depth / tile.k), work.hidden, tile.k),
        (ceil(second.columns / tile.n), tile.n, work.hidden),
    )
    tensor = [tile.m * n * k / device.macs[first.dtype] / device.clock for _, n, k in parts]
    shared = [
        k * size * _shared_reads(replace(tile, n=n), whole=True) / SHARED_RATE / device.clock for _, n, k in parts
    ]
    steps = [count for count, _, _ in parts]
    ahead = (tile.stages - 1, 1)
    steps_bytes = ((tile.m + work.hidden) * tile.k * size, tile.n * work.hidden * size)
    fetch = [count / (PORT * device.clock) for count in steps_bytes]
    waits = [max(tensor[i], shared[i], fetch[i], device.latency / ahead[i]) for i in (0, 1)]
    result = samples * second.result
    fetched = size * (steps[0] * (tile.m + work.hidden) * tile.k + second.columns * work.hidden)
    moved = (1 + second.reads) * result
    drain = DRAIN + (1 + second.reads) * tile.m * second.columns * size / (PORT * device.clock)
    rounds = ceil(busiest / chain_resident(work, tile, device))
    weights = first.weights + second.weights
    times = {
        "tensor": busiest * (steps[0] * tensor[0] + steps[1] * tensor[1]),
        "shared": busiest * (steps[0] * shared[0] + steps[1] * shared[1]),
        "memory": ((samples * first.source + weights) * size + moved) / device.memory,
        "L2": (programs * fetched + moved) / device.l2,
        "latency": rounds * (2 * device.latency + steps[0] * waits[0] + steps[1] * waits[1] + drain),
    }
    return _slowest(device, times)


def chain_bytes(work: Chain, tile: Tile) -> int:
    """Shared memory of a chain: stages of the first product; or what is between, and two steps of the second."""
    size = work.first.dtype.size
    staged = tile.stages * (tile.m + work.hidden) * tile.k
    second = tile.m * work.hidden + 2 * tile.n * work.hidden + (1 + work.second.reads) * tile.m * tile.n
    return max(staged, second) * size


def chain_resident(work: Chain, tile: Tile, device: Device) -> int:
    """Programs of a chain that an SM holds at once, as `resident`."""
    registers = tile.m * max(tile.n, work.hidden) + 32 * tile.warps * 48
    return max(min(device.shared // (chain_bytes(work, tile) + 1024), REGISTERS // registers), 1)


def _shared_reads(tile: Tile, whole: bool) -> float:
    """Elements of both operands that the units read, and that arrive, for one element of the step's depth.

    `whole`: the weights are the left operand of units that take both from shared memory.
    """
    if whole:
        # 64 rows of weights at a time meet all pixels of the tile (wgmma, both operands in shared memory).
        return tile.n + tile.n / 64 * tile.m + (tile.m + tile.n)
    # Warps share a tile two by two, each reading its half of both operands.
    return 2 * (tile.m + tile.n) + (tile.m + tile.n)


def stage_bytes(tile: Tile, dtype: DType) -> int:
    """Shared memory of one stage of a tile's pipeline."""
    return (tile.m + tile.n) * tile.k * dtype.size


def resident(tile: Tile, dtype: DType, device: Device) -> int:
    """Programs that an SM holds at once: by shared memory, and by registers (sums, and about 48 besides)."""
    shared = max(tile.stages * stage_bytes(tile, dtype), tile.m * tile.n * dtype.size) + 1024
    registers = tile.m * tile.n + 32 * tile.warps * 48
    return max(min(device.shared // shared, REGISTERS // registers, 16), 1)


@cache
def best_box(samples: int, height: int, width: int, m: int, most: int) -> tuple[int, int, int]:
    """Samples x height x width of m pixels, so that few boxes cover the maps; of equals, the one nearest a cube.

    `most` samples, and what the copy engine takes along a side.
    """
    extents = [1 << i for i in range(m.bit_length())]
    boxes = [(m // (h * w), h, w) for h, w in combinations(extents, extents) if h * w <= m]
    few = [box for box in boxes if box[0] <= most and max(box) <= LONGEST]
    return min(few, key=lambda box: (ceil(samples / box[0]) * ceil(height / box[1]) * ceil(width / box[2]), sum(box)))
