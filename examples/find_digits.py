"""Finds handwritten digits on a page and draws boxes around them.

    python examples/find_digits.py [PICTURE.png]

The page is made of digits of the test split, which training never saw: scikit-learn's copy of the UCI data set "Optical
Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998, CC BY 4.0). `find_digits.net` is compiled to a NumPy module,
which gets the page, a box around every place where a digit could be, and the weights of `digits.net`. What it returns
is drawn: a red box around each digit, and under it the digit that was read, in red.
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

import netdsl

HERE = Path(__file__).parent
HEIGHT, WIDTH, SIDE, ZOOM = 64, 96, 8, 5
RED = (214, 39, 40)
Array = NDArray[Any]


class Found(NamedTuple):
    """A digit, the corner of its box (x, y), and its score."""

    digit: int
    corner: tuple[int, int]
    score: float


def page(seed: int = 0) -> tuple[Array, list[tuple[int, tuple[int, int]]]]:
    """A page of 15 digits, 0 (paper) to 1 (ink), and what they are and where: x, y of their corners."""
    test = load_file(HERE / "digits_test.safetensors")
    draw = np.random.default_rng(seed)
    paper = np.zeros((HEIGHT, WIDTH), np.float32)
    written = []
    for place, index in enumerate(draw.choice(len(test["images"]), 15, replace=False)):
        row, column = divmod(place, 5)
        x, y = 18 * column + 4 + int(draw.integers(6)), 20 * row + 4 + int(draw.integers(6))
        paper[y : y + SIDE, x : x + SIDE] = test["images"][index, 0] / np.float32(255)
        written.append((int(test["labels"][index]), (x, y)))
    return paper, written


def boxes() -> Array:
    """Every place of an 8x8 window: x1, y1, x2, y2."""
    y, x = np.mgrid[: HEIGHT - SIDE + 1, : WIDTH - SIDE + 1]
    return np.stack([x, y, x + SIDE, y + SIDE], -1).reshape(-1, 4).astype(np.float32)


def find(paper: Array) -> list[Found]:
    """The digits on a page, best first, by the generated NumPy module."""
    module: dict[str, Any] = {}
    exec(netdsl.load(HERE / "find_digits.net").compile(backend="numpy").source, module)
    model = module["Model"](load_file(HERE / "digits.safetensors"))
    places, scores, names = model(paper[None, None], boxes()[None])
    return [
        Found(int(name), (round(float(place[0])), round(float(place[1]))), float(score))
        for place, score, name in zip(places[0], scores[0], names[0], strict=True)
        if score > 0
    ]


def drawn(paper: Array, found: list[Found]) -> Array:
    """The page in grey, enlarged, with boxes and what was read, as H x W x 3."""
    grey = (255 - 255 * np.kron(paper, np.ones((ZOOM, ZOOM)))).astype(np.uint8)
    picture = np.stack([grey] * 3, -1)
    for digit, (x, y), _ in found:
        top, left, side = ZOOM * y - 2, ZOOM * x - 2, ZOOM * SIDE + 4
        box = picture[top : top + side, left : left + side]
        box[[0, -1]] = box[:, [0, -1]] = RED
        for row, bits in enumerate(GLYPHS[digit].split()):
            for column, bit in enumerate(bits):
                if bit == "#":
                    picture[top + side + 2 + 2 * row :, left + 2 * column :][:2, :2] = RED
    return picture


GLYPHS = (
    "### #.# #.# #.# ###",
    ".#. ##. .#. .#. ###",
    "### ..# ### #.. ###",
    "### ..# ### ..# ###",
    "#.# #.# ### ..# ..#",
    "### #.. ### ..# ###",
    "### #.. ### #.# ###",
    "### ..# .#. .#. .#.",
    "### #.# ### #.# ###",
    "### #.# ### ..# ###",
)
"""Digits of 3 x 5 points."""


def png(picture: Array) -> bytes:
    """A picture H x W x 3 as a PNG file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = picture.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in picture)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines, 9)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def main() -> None:
    """Find the digits of a page, and draw them."""
    paper, _ = page()
    found = find(paper)
    path = Path(sys.argv[1] if len(sys.argv) > 1 else HERE / "find_digits.png")
    path.write_bytes(png(drawn(paper, found)))
    print(f"{len(found)} digits found, drawn in {path}")


if __name__ == "__main__":
    main()
