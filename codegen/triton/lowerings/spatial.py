"""Feature maps as kernels see them: two spatial axes, a length being a map of height 1."""

from __future__ import annotations

from typing import NamedTuple

from netdsl.codegen.triton.index import atom, quotient, remainder, row_stride, strides
from netdsl.codegen.triton.place import Coordinate, Place
from netdsl.tensor import TensorType

ROW, COLUMN = "row", "column"


class Map(NamedTuple):
    """Extents and strides of a feature map."""

    c: int
    h: int
    w: int
    sn: int
    sc: int
    sh: int
    sw: int


def feature_map(type: TensorType) -> Map:
    """`C x L` is `C x 1 x L`. Any step between its rows does; that of samples is one that the copy engine takes."""
    steps = strides(type)
    if type.rank == 2:
        return Map(type.shape[0], 1, type.shape[1], row_stride(type), steps[0], row_stride(type), steps[1])
    c, h, w = type.shape
    return Map(c, h, w, row_stride(type), *steps)


def two(values: tuple[int, ...], height: int) -> tuple[int, int]:
    """A value for each of two axes, from one or two; `height` is what the missing one is."""
    return (height, values[0]) if len(values) == 1 else (values[0], values[1])


def sides(padding: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Padding as top, left, bottom, right."""
    if len(padding) == 2:
        return 0, padding[0], 0, padding[1]
    top, left, bottom, right = padding
    return top, left, bottom, right


def pixel_place(
    type: TensorType, *, row: str, height: str, width: str, channel: str, columns: str, offset: str
) -> Place:
    """A tile of pixels by channels. `row`, `height` and `width` are variables along rows, `channel` along columns.

    Its variables are `row_ok`, `inside` and the one that `columns` names.
    """
    along_rows = [
        Coordinate(f"{text}[:, None]", ROW) if text != "0" else Coordinate("0", "") for text in (row, height, width)
    ]
    axes = (Coordinate(f"{channel}[None, :]", COLUMN), *(along_rows[2:] if type.rank == 2 else along_rows[1:]))
    return Tiled(type, along_rows[0], axes, offset, {ROW: "row_ok[:, None]", COLUMN: f"{columns}[None, :]"})


class Tiled(Place):
    """A place whose whole mask is kept in the variable `inside`."""

    def mask(self, parts: object = None) -> str:
        """See `Place`."""
        text = super().mask(parts)  # type: ignore[arg-type]
        return "inside" if text.count("&") else text


def pixel_row_place(type: TensorType, pixels: int, width: int) -> Place:
    """A tile of a channels-last map seen as a matrix: `row` counts the pixels of all samples, `column` the channels."""
    n = Coordinate(f"{atom(quotient('row', pixels))}.to(tl.int64)[:, None]", ROW)
    h = Coordinate(f"({quotient(remainder('row', pixels), width)})[:, None]", ROW)
    w = Coordinate(f"({remainder('row', width)})[:, None]", ROW)
    axes = (Coordinate("column[None, :]", COLUMN), *((w,) if type.rank == 2 else (h, w)))
    return Tiled(type, n, axes, "offset", {ROW: "row_ok[:, None]", COLUMN: "column_ok[None, :]"})


def times(rows: int, type: TensorType) -> str:
    """So many rows for each row of a result: `3136 * batch`; or `3136`, of what does not depend on the sample."""
    rows *= max(type.batch, 1)
    if not type.batch:
        return str(rows)
    return f"{rows} * batch" if rows > 1 else "batch"


def blocks(rows: str, m: int, columns: int, n: int) -> str:
    """Blocks of m x n that cover so many rows and columns."""
    across = -(-columns // n)
    return f"cdiv({rows}, {m}) * {across}" if across > 1 else f"cdiv({rows}, {m})"
