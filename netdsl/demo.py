"""The main job on real input: compile a network that reads digits, run the generated module, show what it read."""

from __future__ import annotations

import importlib.util
import struct
import zlib
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netdsl import files, tensorfile
from netdsl.api import load
from netdsl.codegen.artifact import edited

Bytes = NDArray[np.uint8]

MARK = b"tEXtSoftware\0netdsl demo"
"""What the PNG says of its origin, so that a second run may replace it."""

WIDTH = 80
"""Columns of a terminal that pictures fill."""

RAMP = " .:-=+*#%@"
"""From paper to ink, where there are no colours."""

GREYS = 232
"""The first of the 24 greys in a terminal's table of 256 colours."""

ZOOM, GAP = 4, 3
"""Contact sheet: screen pixels per pixel, and between pictures."""

RED = (214, 39, 40)


@dataclass(frozen=True, eq=False, slots=True)
class Reading:
    """Digits and what was read. `images: N x 8 x 8`, 0 (paper) to 255 (ink); `labels` and `found: N`."""

    images: Bytes
    labels: Bytes
    found: Bytes

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which of them were read as labelled, `N`."""
        return np.equal(self.found, self.labels)


def read_digits(folder: Path, force: bool = False) -> Reading:
    """Compile `examples/digits.net` into `folder`, load the module with its trained weights, read the test split.

    Writes `digits.py` and `digits.safetensors`. Raises NetError where files that netdsl did not write are in the way.
    """
    examples = resources("netdsl.examples")
    artifact = load(str(examples / "digits.net")).compile(backend="numpy")
    module, weights = folder / "digits.py", folder / "digits.safetensors"
    trained = (examples / "digits.safetensors").read_bytes()
    files.write(str(module), artifact.source.encode(), objection=edited, force=force)
    files.write(
        str(weights),
        trained,
        objection=lambda content: None if content == trained else files.maybe_trained(content),
        force=force,
    )
    model = _imported(module).load(str(weights))
    test = tensorfile.read((examples / "digits_test.safetensors").read_bytes())
    scores: NDArray[Any] = model(test["images"].astype(np.float32) / 255)
    return Reading(test["images"][:, 0], test["labels"], scores.argmax(axis=1).astype(np.uint8))


def pictures(reading: Reading, which: NDArray[np.intp], colour: bool) -> str:
    """Some of the digits side by side, each above what it was read as (and what it is, where that differs)."""
    draw, width = (_half_blocks, 10) if colour else (_characters, 18)
    rows = []
    for chosen in (which[i : i + WIDTH // width] for i in range(0, len(which), WIDTH // width)):
        drawn = [draw(reading.images[i]) for i in chosen]
        rows += ["  ".join(line).rstrip() for line in zip(*drawn, strict=True)]
        rows += ["".join(_caption(reading, i).center(width - 2) + "  " for i in chosen).rstrip(), ""]
    return "".join(f"{row}\n" for row in rows)


def contact_sheet(reading: Reading) -> bytes:
    """Every digit in one PNG: row n holds what was read as n, the mistakes first and framed in red."""
    rows = [np.flatnonzero(reading.found == digit) for digit in range(10)]
    size = reading.images.shape[-1] * ZOOM
    step = size + GAP
    columns = max(len(row) for row in rows)
    sheet = np.full((len(rows) * step + GAP, columns * step + GAP, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, index in enumerate(sorted(row, key=lambda i: bool(reading.right[i]))):
            top, left = y * step + GAP, x * step + GAP
            if not reading.right[index]:
                sheet[top - GAP : top + step, left - GAP : left + step] = RED
            ink = reading.images[index].repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
            sheet[top : top + size, left : left + size] = 255 - ink[..., None]
    return png(sheet)


def png(image: Bytes) -> bytes:
    """An RGB image `H x W x 3` as a PNG file (W3C PNG specification: signature, IHDR, tEXt, IDAT, IEND)."""
    height, width, _ = image.shape
    unfiltered = np.concatenate((np.zeros((height, 1), np.uint8), image.reshape(height, -1)), axis=1)
    chunks = (
        b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        MARK,
        b"IDAT" + zlib.compress(unfiltered.tobytes(), 9),
        b"IEND",
    )
    framed = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def write_sheet(reading: Reading, folder: Path, force: bool = False) -> Path:
    """Write the contact sheet as `digits.png`; its path. Raises NetError where another file is in the way."""
    path = folder / "digits.png"
    files.write(
        str(path),
        contact_sheet(reading),
        objection=lambda content: None if MARK in content else files.foreign(content),
        force=force,
    )
    return path


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("digits", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _caption(reading: Reading, index: int) -> str:
    found, label = reading.found[index], reading.labels[index]
    return str(found) if found == label else f"{found} (is {label})"


def _half_blocks(image: Bytes) -> list[str]:
    """Two pixels a character: the upper half block in one grey on another."""
    greys = GREYS + image.astype(int) * 23 // 255
    pairs = zip(greys[::2], greys[1::2], strict=True)
    return [
        "".join(f"\x1b[38;5;{a};48;5;{b}m\u2580" for a, b in zip(upper, lower, strict=True)) + "\x1b[0m"
        for upper, lower in pairs
    ]


def _characters(image: Bytes) -> list[str]:
    """Two characters a pixel."""
    return ["".join(RAMP[level] * 2 for level in row) for row in image.astype(int) * (len(RAMP) - 1) // 255]
