"""Choice of blocks: tiles, warps and pipeline stages of every launch, from shapes and element type alone.

Nothing is tried at run time. The number of rows is known only when the batch is, so a matrix kernel gets a short list:
from so many rows on, this tile. Everything else in the backend takes what it is given here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from netdsl.codegen.triton.kernels import Tile
from netdsl.tensor import DType

Tiles = tuple[tuple[int, Tile], ...]


class Tiling(Protocol):
    """What a lowering asks."""

    def matrix(self, columns: int, depth: int, dtype: DType, reads: int = 0) -> Tiles:
        """Tiles of a product with so many columns and so many steps deep, each with the least rows it is for.

        The first is for any number of rows. `reads` counts the tensors that the elementwise tail reads.
        """

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
    """Rules of thumb. A tile never spans more than its matrix. Exact float32 has no tensor cores: small tiles.

    Four warps everywhere: kernels that load through pointers in one flat loop have been miscompiled with eight.
    """

    def matrix(self, columns: int, depth: int, dtype: DType, reads: int = 0) -> Tiles:
        """See `Tiling`."""
        n = min(max(power_above(columns), 16), 128)
        if dtype is DType.FLOAT32:
            n, k = min(n, 64), 16 if depth <= 16 else 32
            return ((0, Tile(16, n, k)), (33, Tile(32, n, k)), (1024, Tile(64, n, k)))
        # A depth that is no multiple of 8 is read element by element, which takes registers; a short one wastes a step.
        long = dtype is not DType.TF32 and depth % 8 == 0 and (depth % 64 == 0 or depth >= 256)
        k = min(max(power_above(depth), 16), 64 if long else 32)
        # 128 x 128 takes half of all registers for the sums alone: no room for a tail's operands, or wide elements.
        widest = 64 if reads or dtype is DType.TF32 else 128
        tiles = ((0, Tile(16, min(n, 64), k)), (33, Tile(64, min(n, 64), k)))
        return (*tiles, (8192, Tile(128, min(n, widest), k))) if depth % 8 == 0 else tiles

    def pixels(self, columns: int) -> tuple[int, int]:
        """See `Tiling`."""
        n = min(power_above(columns), 64)
        return (1024 if n >= 16 else 512) // n, n

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
