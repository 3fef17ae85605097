"""PNG pictures as inputs (W3C, Portable Network Graphics): exact size, scaled to between 0 and 1, never resized."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netdsl import codes
from netdsl.diagnostics import Code, Diagnostic, NetError
from netdsl.tensor import shape_text

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE = 0, 2, 3
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8)}
"""Colour types that are read, with the bits of a sample that each may have."""

Bytes = NDArray[np.uint8]


class Header(NamedTuple):
    """The IHDR chunk, whose other fields are checked and dropped."""

    width: int
    height: int
    depth: int
    colour: int

    @property
    def channels(self) -> int:
        """Channels of the picture once a palette is looked up."""
        return 1 if self.colour == GREY else 3

    @property
    def samples(self) -> int:
        """Numbers that a pixel takes in the file."""
        return 3 if self.colour == RGB else 1

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, without the byte that names its filter."""
        return -(-self.width * self.samples * self.depth // 8)


def read_png(data: bytes, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The picture as `1 x C x H x W`, where `shape` is C x H x W: samples of 8 bits divided by 255, others likewise.

    Grey pictures have one channel, others three. Nothing is decompressed before the size is known to be right.
    Raises NetError: E0605 (another size), E0607 (damaged; or interlaced or transparent, which is not read).
    """
    chunks = list(_chunks(data, name))
    header = _header(chunks, name)
    found = (header.channels, header.height, header.width)
    if found != shape:
        message = f"{name} is {shape_text(found)}, but the input is {shape_text(shape)}"
        raise _error(message, codes.INPUT_SHAPE, "resize or convert it first: pictures are never resized here")
    rows = _unfiltered(_decompressed(chunks, header, name), header, name)
    samples = _samples(rows, header)
    if header.colour == PALETTE:
        colours = _palette(chunks, name)
        if samples.max() >= len(colours):
            raise _error(f"{name} uses a colour that its palette lacks")
        pixels, top = colours[samples], 255
    else:
        pixels, top = samples.reshape(header.height, header.width, header.samples), 2**header.depth - 1
    result: NDArray[np.float32] = pixels.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(top)
    return result


def _chunks(data: bytes, name: str) -> Iterator[tuple[bytes, bytes]]:
    if not data.startswith(SIGNATURE):
        raise _error(f"{name} is not a PNG file")
    at = len(SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise _error(f"{name} ends early")
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if at + 12 + length > len(data):
            raise _error(f"{name} ends early")
        if zlib.crc32(kind + body) != struct.unpack_from(">I", data, at + 8 + length)[0]:
            raise _error(f"{name} is damaged: a checksum is wrong")
        if kind == b"IEND":
            return
        yield kind, body
        at += 12 + length


def _header(chunks: list[tuple[bytes, bytes]], name: str) -> Header:
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise _error(f"{name} is damaged: it has no header")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", chunks[0][1])
    if colour in (4, 6) or any(kind == b"tRNS" for kind, _ in chunks):
        raise _error(f"{name} is partly transparent", help="save it without transparency (an alpha channel)")
    if interlace == 1:
        raise _error(f"{name} is interlaced", help="save it without interlacing")
    if depth not in DEPTHS.get(colour, ()) or compression or filtering or interlace or not width or not height:
        raise _error(f"{name} is damaged: its header makes no sense")
    return Header(width, height, depth, colour)


def _decompressed(chunks: list[tuple[bytes, bytes]], header: Header, name: str) -> Bytes:
    wanted = header.height * (header.row_bytes + 1)
    try:
        raw = zlib.decompressobj().decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"), wanted + 1)
    except zlib.error:
        raise _error(f"{name} is damaged: its pixels cannot be decompressed") from None
    if len(raw) != wanted:
        raise _error(
            f"{name} is damaged: it holds {'more' if len(raw) > wanted else 'fewer'} pixels than its header says"
        )
    return np.frombuffer(raw, np.uint8).reshape(header.height, header.row_bytes + 1)


def _unfiltered(raw: Bytes, header: Header, name: str) -> Bytes:
    """Each byte is stored as the difference to a prediction from those to the left (a), above (b) and both (c)."""
    step = max(header.samples * header.depth // 8, 1)
    rows = np.zeros((header.height, header.row_bytes), np.uint8)
    above = rows[0]
    for row, line in zip(rows, raw, strict=True):
        kind, stored = int(line[0]), line[1:]
        if kind == 0:
            row[:] = stored
        elif kind == 1:
            row[:] = stored.reshape(-1, step).cumsum(0, np.uint8).reshape(-1)
        elif kind == 2:
            row[:] = stored + above
        elif kind in (3, 4):
            row[:] = _predicted(stored.tolist(), above.tolist(), step, paeth=kind == 4)
        else:
            raise _error(f"{name} is damaged: it uses the unknown filter {kind}")
        above = row
    return rows


def _predicted(stored: list[int], above: list[int], step: int, paeth: bool) -> list[int]:
    row = [0] * step + stored
    above = [0] * step + above
    for i in range(step, len(row)):
        a, b, c = row[i - step], above[i], above[i - step]
        if paeth:
            to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
            prediction = a if to_a <= to_b and to_a <= to_c else b if to_b <= to_c else c
        else:
            prediction = (a + b) // 2
        row[i] = (row[i] + prediction) % 256
    return row[step:]


def _samples(rows: Bytes, header: Header) -> NDArray[Any]:
    """`H x (W * samples)` whole numbers; those of fewer than 8 bits lie packed, the first in the highest bits."""
    count = header.width * header.samples
    if header.depth == 16:
        return rows.view(">u2")
    bits = np.unpackbits(rows, axis=1).reshape(header.height, -1, header.depth)
    return (bits @ (1 << np.arange(header.depth)[::-1]))[:, :count]


def _palette(chunks: list[tuple[bytes, bytes]], name: str) -> NDArray[np.uint8]:
    body = next((body for kind, body in chunks if kind == b"PLTE"), b"")
    if not body or len(body) % 3:
        raise _error(f"{name} is damaged: it has no palette")
    return np.frombuffer(body, np.uint8).reshape(-1, 3)


def _error(message: str, code: Code = codes.IMAGE_FILE, help: str | None = None) -> NetError:
    return NetError((Diagnostic(code, message, help=help),))
