"""What a kernel has to do, as far as its time goes, and the tiles it does it in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from netdsl.tensor import DType


@dataclass(frozen=True)
class Tile:
    """One tile of a matrix kernel: `m` rows by `n` columns, `k` deep at a step.

    box    how many rows, lines x width, or samples x height x width are fetched whole (TMA); height x width of a tile
           that is pooled; empty for other kernels that load by pointers.
    split  programs that share the depth.
    """

    m: int
    n: int
    k: int
    warps: int = 4
    stages: int = 3
    split: int = 1
    box: tuple[int, ...] = ()


Tiles = tuple[tuple[int, Tile | None], ...]
"""From so many samples on, this tile; the first is for one sample. None: kernels for each part are faster."""
Tables = tuple[tuple[int, Tiles], ...]
"""Tiles for each target."""


class Near(NamedTuple):
    """Windows whose elements a program loads through the first-level cache: what several see comes there once."""

    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]

    def elements(self, height: int, width: int) -> int:
        """Distinct elements that so many windows see, in rows and columns side by side."""
        rows, columns = (
            (count - 1) * stride + kernel
            for count, stride, kernel in zip((height, width), self.stride, self.kernel, strict=True)
        )
        return self.channels * rows * columns


@dataclass(frozen=True)
class Product:
    """A matrix product or convolution, as far as its time goes.

    samples     samples for each one of the batch; 0 if the batch does not matter.
    out         height and width of a sample's result; a plain product has 1 x rows.
    columns     columns of the result, in each of `groups`.
    depth, taps what one element sums over: channels, and places of the kernel.
    source      elements of a sample of the operand that is not weights; `weights` those of the weights.
    reads       tensors of the result's size that the tail reads.
    boxes       how tiles of the operand can be fetched whole (TMA): "", "rows", "lines" (of all samples; pixels in
                them) or "windows"; `even`: at stride 2.
    near        windows of few channels, of which a step of the depth spans several places.
    kept        element type of the result, and of what the tail reads of its size, where it is not `dtype`.
    crowded     the tail holds many values of each element at once.
    """

    samples: int
    out: tuple[int, int]
    columns: int
    depth: int
    taps: int
    source: int
    weights: int
    dtype: DType
    reads: int = 0
    groups: int = 1
    boxes: str = ""
    even: bool = False
    near: Near | None = None
    kept: DType | None = None
    crowded: bool = False

    @property
    def result(self) -> int:
        """Bytes of a sample's result."""
        height, width = self.out
        return height * width * self.columns * self.groups * (self.kept or self.dtype).size

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a sample: each place of the result meets each weight once."""
        return self.out[0] * self.out[1] * self.weights


@dataclass(frozen=True)
class Traffic:
    """Any other kernel: elements that a sample reads and writes, those of weights, and arithmetic per sample."""

    samples: int
    moved: int
    weights: int
    operations: int
    dtype: DType


@dataclass(frozen=True)
class Depthwise:
    """A convolution of every channel apart.

    samples, out  as of `Product`; `channels` of the result.
    kernel        height and width of a window, which moves `stride` on.
    source        elements of a sample that it reads; `weights` those of the weights.
    reads         tensors of the result's size that the tail reads.
    block         elements of the result that a program of the kernel for it alone makes.
    """

    samples: int
    out: tuple[int, int]
    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    source: int
    weights: int
    dtype: DType
    reads: int
    block: int


First = TypeVar("First", Product, Depthwise, Traffic)


@dataclass(frozen=True)
class _Two(Generic[First]):
    """What all pairs of layers in one kernel have."""

    first: First
    second: Product

    @property
    def samples(self) -> int:
        """See `Product`."""
        return self.second.samples

    @property
    def dtype(self) -> DType:
        """See `Product`."""
        return self.second.dtype


@dataclass(frozen=True)
class Chain(_Two[Product]):
    """A product whose result, tile by tile, goes right into a second one: `hidden` columns in between."""

    @property
    def hidden(self) -> int:
        """Columns of the first product, all of which are in one tile: a power of two."""
        return self.first.columns


@dataclass(frozen=True)
class Sum(_Two[Product]):
    """Two products into the same sums: as far as the time goes, `product`, whose depth is that of both."""

    product: Product


@dataclass(frozen=True)
class Separable(_Two[Depthwise]):
    """A depthwise convolution whose result, a block of channels at a time, goes right into a product."""


@dataclass(frozen=True)
class Pooled:
    """A convolution, and the largest of its result in windows of `size` x `size` pixels, 2 apart.

    first, second  what each has to do. The first has few channels, a step being a row of its kernel (`near`); or it
                   fetches boxes, and windows are 2 x 2.
    out            height and width of the second's result.
    """

    first: Product
    second: Traffic
    out: tuple[int, int]
    size: int

    @property
    def samples(self) -> int:
        """See `Product`."""
        return self.second.samples

    @property
    def dtype(self) -> DType:
        """See `Product`."""
        return self.second.dtype

    def covered(self, box: tuple[int, ...]) -> tuple[int, int]:
        """Rows and columns of the second's result from a box of pixels of the first's."""
        height, width = ((side - self.size) // 2 + 1 for side in box)
        return height, width


@dataclass(frozen=True)
class Headed(_Two[Traffic]):
    """Elementwise operations on what a product reads, done on each tile as it is read."""


Pair = Chain | Sum | Separable | Headed | Pooled
"""Two layers in one kernel."""
Work = Product | Depthwise | Pair | Traffic
