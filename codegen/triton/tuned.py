"""Tiles that a generated module has measured on somebody's GPU (`python MODULE.py --tune`), for `compile --tuned`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import cast

from netdsl import codes, files
from netdsl.codegen import tuned
from netdsl.codegen.names import comment
from netdsl.codegen.triton.cost import chain_bytes, stage_bytes
from netdsl.codegen.triton.devices import DEVICES, Device
from netdsl.codegen.triton.tiling import DefaultTiling
from netdsl.codegen.triton.work import Chain, Headed, Pair, Pooled, Product, Separable, Sum, Tables, Tile
from netdsl.suggest import nearest
from netdsl.tensor import DType

FORMAT = "netdsl tuned tiles 2"
ABOUT = ("net", "dtype", "device", "torch", "triton")
ENTRY = ("shape", "samples", "tile", "before_us", "after_us")
SIZES = frozenset(1 << i for i in range(9))
"""What rows, columns and depth of a tile may be, and sides of a box: powers of two, 256 at most."""
SPLITS = frozenset(1 << i for i in range(5))
"""How many programs may share a depth, as the module's own search has it."""
MOST_SUMS = 256 * 128
"""Elements of a tile: the module that searches has room for as many, in each of its shared programs."""


@dataclass(frozen=True)
class Tuned(DefaultTiling):
    """The cost model's tiles, but for those of `target` that were measured: by shape, from so many samples on."""

    path: str
    net: str
    dtype: str
    device: str
    versions: str
    target: int
    measured: Mapping[str, tuple[tuple[int, tuple[object, ...]], ...]]

    def matrix(self, product: Product, shape: str) -> Tables:
        """See `Tiling`. Raises NetError (E0706) where no kernel can have a tile."""
        return self._merged(super().matrix(product, shape), product, shape)

    def pair(self, pair: Pair, shape: str = "") -> Tables:
        """See `Tiling`. Raises NetError (E0706) as `matrix`."""
        return self._merged(super().pair(pair, shape), pair, shape)

    def check_net(self, name: str, dtype: DType) -> None:
        """Refuse (E0706) a file that was measured on another net, or in another element type."""
        tuned.check_net(self.path, (self.net, self.dtype), name, dtype, "tiles")

    def check_shapes(self, known: Iterable[str]) -> None:
        """Refuse (E0706) tiles of shapes that the net does not have."""
        names = list(known)
        for shape in self.measured:
            if shape not in names:
                near = nearest(shape, names)
                message = f"{self.path} holds a tile of `{comment(shape)}`, a shape that net {self.net} does not have"
                help = f"did you mean `{near}`?" if near else "tune the module of this net, compiled as it is now"
                raise files.refuse(codes.TUNED_ELSEWHERE, message, help)

    @property
    def note(self) -> str:
        """What a module says of its tiles."""
        return (
            f"Those of {self.target} are the fastest found on the device {self.device} ({self.versions}), where tuned."
        )

    def _merged(self, tables: Tables, work: Product | Pair, shape: str) -> Tables:
        found = {samples: self._tile(work, shape, numbers) for samples, numbers in self.measured.get(shape, ())}
        return tuple(
            (target, tuple(sorted({**dict(tiles), **found}.items())) if target == self.target else tiles)
            for target, tiles in tables
        )

    def _tile(self, work: Product | Pair, shape: str, numbers: tuple[object, ...]) -> Tile:
        tile = _tile(numbers)
        if tile is None or not _possible(work, tile, DEVICES[self.target]):
            message = f"{self.path}: no kernel of `{comment(shape)}` can have the tile {json.dumps(numbers)}"
            raise files.refuse(codes.TUNED_ELSEWHERE, message)
        return tile


def read(path: str) -> Tuned:
    """The tiles of a file. Raises NetError: E0601 (it cannot be read), E0705 (it is no such file)."""
    found = tuned.content(path, FORMAT, ABOUT)
    target = found.get("target")
    if not tuned.is_whole(target) or target not in DEVICES:
        raise tuned.not_tuned(path, f"its target is none of {', '.join(map(str, DEVICES))}")
    entries = found.get("tiles")
    if not isinstance(entries, list):
        raise tuned.not_tuned(path, "its tiles are not a list")
    measured: dict[str, dict[int, tuple[object, ...]]] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or set(entry) != set(ENTRY):
            raise tuned.not_tuned(path, f"entry {number} of its tiles does not hold {', '.join(ENTRY)}")
        shape, samples, numbers, *times = (entry[name] for name in ENTRY)
        sound = isinstance(shape, str) and tuned.is_whole(samples) and 0 < samples < 2**31 and isinstance(numbers, list)
        if not sound or not all(isinstance(time, int | float) and not isinstance(time, bool) for time in times):
            raise tuned.not_tuned(
                path, f"entry {number} of its tiles holds something else than a shape, samples, a tile, times"
            )
        of_shape = measured.setdefault(shape, {})
        if samples in of_shape:
            raise tuned.not_tuned(path, f"entry {number} of its tiles repeats `{comment(shape)}` at {samples} samples")
        of_shape[samples] = tuple(numbers)
    net, dtype, device, torch, triton = (comment(found[name]) for name in ABOUT)
    tiles = {shape: tuple(sorted(of_shape.items())) for shape, of_shape in measured.items()}
    return Tuned(path, net, dtype, device, f"torch {torch}, triton {triton}", cast(int, target), tiles)


def _tile(numbers: tuple[object, ...]) -> Tile | None:
    """A tile from the numbers of the module's table; None if they are none."""
    if len(numbers) != 6:
        return None
    rows, *others = numbers
    box = tuple(rows) if isinstance(rows, list) else ()
    if not all(tuned.is_whole(size) for size in (*(box or (rows,)), *others)) or len(box) not in (0, 1, 2, 3):
        return None
    n, k, warps, stages, split = cast(tuple[int, ...], others)
    return Tile(cast(int, prod(box) if box else rows), n, k, warps, stages, split, cast(tuple[int, ...], box))


def _possible(work: Product | Pair, tile: Tile, device: Device) -> bool:
    """Whether the kernels of a product can have a tile on a device."""
    if isinstance(work, Separable):
        half = tile.m * tile.n <= 8192 and 0 < tile.m * tile.k <= 4096
        sides = len(tile.box) == 3 and tile.box[1] > 1 and tile.m >= 16 <= tile.n and tile.k >= 16
        numbers = SIZES.issuperset((tile.m, tile.n, tile.k, *tile.box))
        return numbers and sides and half and (tile.warps, tile.split) == (4, 1)
    if isinstance(work, Headed):
        work = replace(work.second, boxes="")
    if isinstance(work, Pooled) and work.first.near:
        return _possible_pooled(work, tile, device)
    product = work.first if isinstance(work, Chain | Pooled) else work.product if isinstance(work, Sum) else work
    boxes = {"": 0, "rows": 1, "lines": 2, "windows": 3}[product.boxes if device.target == 90 else ""]
    if not SIZES.issuperset((*(tile.box or (tile.m,)), tile.n, tile.k)) or min(tile.m, tile.n, tile.k) < 16:
        return False
    if tile.split not in SPLITS or tile.m * tile.n > MOST_SUMS:
        return False
    if len(tile.box) not in (0, boxes) or tile.stages * stage_bytes(tile, product.dtype) >= device.shared:
        return False
    if isinstance(work, Chain) and (not tile.box or tile.split > 1 or chain_bytes(work, tile) >= device.shared):
        return False
    if isinstance(work, Pooled) and (len(tile.box) != 3 or tile.split > 1 or tile.box[1] % 2 or tile.box[2] % 2):
        return False
    if not tile.box:
        return tile.warps == 4
    even = not product.even or product.depth % tile.k == 0
    return even and tile.warps in (4, 8) and tile.k * product.dtype.size <= 128


def _possible_pooled(work: Pooled, tile: Tile, device: Device) -> bool:
    """The same of a stem: a step holds a row of the kernel, and a tile's sums fill half of the registers at most."""
    near = work.first.near
    assert near
    return (
        SIZES.issuperset((tile.n, tile.k, *tile.box))
        and len(tile.box) == 2
        and min(tile.box) >= 4
        and min(tile.n, tile.k) >= 16
        and tile.m * tile.n <= 256 * 64
        and tile.k >= near.channels * near.kernel[1]
        and (tile.warps, tile.split) == (4, 1)
        and tile.stages * stage_bytes(tile, work.dtype) < device.shared
    )
