"""The PNG reader against Pillow, and against damaged files."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdsl import codes
from netdsl.diagnostics import NetError
from netdsl.images import read_png

RANDOM = np.random.default_rng(5)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int, height: int, depth: int, colour: int, rows: bytes, before: bytes = b"", interlace: int = 0
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + pixels + chunk(b"IEND", b"")


def oracle(data: bytes) -> np.ndarray:
    """Pillow's pixels, `C x H x W`, between 0 and 1."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is the oracle").open(io.BytesIO(data))
    if image.mode in ("P", "1"):
        image = image.convert("RGB" if image.mode == "P" else "L")
    pixels = np.asarray(image)
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return pixels / (65535 if image.mode == "I;16" else 255)


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3)])
def test_each_filter(kind: int, colour: int, channels: int) -> None:
    """Random bytes behind a filter's number are a picture, whatever they are."""
    rows = RANDOM.integers(0, 256, (7, 1 + 5 * channels), dtype=np.uint8)
    rows[:, 0] = kind
    data = png(5, 7, 8, colour, rows.tobytes())
    np.testing.assert_array_equal(read_png(data, "x", (channels, 7, 5))[0], oracle(data).astype(np.float32))


@pytest.mark.parametrize(("depth", "colour"), [(1, 0), (2, 0), (4, 0), (16, 0), (1, 3), (2, 3), (4, 3), (8, 3)])
def test_each_depth(depth: int, colour: int) -> None:
    """Widths that do not fill their last byte."""
    rows = RANDOM.integers(0, 256, (3, 1 + -(-13 * depth // 8)), dtype=np.uint8)
    rows[:, 0] = [0, 1, 2]
    palette = chunk(b"PLTE", RANDOM.integers(0, 256, 3 * 2 ** min(depth, 8), dtype=np.uint8).tobytes())
    data = png(13, 3, depth, colour, rows.tobytes(), palette if colour == 3 else b"")
    found = read_png(data, "x", (3 if colour == 3 else 1, 3, 13))[0]
    np.testing.assert_allclose(found, oracle(data), rtol=1e-7)


def test_sixteen_bits_of_colour() -> None:
    """Pillow keeps 8 of the 16 bits, so this one is counted by hand."""
    data = png(1, 1, 16, 2, b"\0" + struct.pack(">HHH", 65535, 0, 13107))
    np.testing.assert_array_equal(read_png(data, "x", (3, 1, 1)).ravel(), np.float32([1, 0, 0.2]))


GOOD = png(2, 2, 8, 0, b"\0\1\2\0\3\4")


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (b"GIF89a", codes.IMAGE_FILE, "is not a PNG"),
        (GOOD[:-5], codes.IMAGE_FILE, "ends early"),
        (GOOD[:45], codes.IMAGE_FILE, "ends early"),
        (GOOD[:45] + b"\xff" + GOOD[46:], codes.IMAGE_FILE, "checksum"),
        (GOOD[:8] + GOOD[33:], codes.IMAGE_FILE, "no header"),
        (png(2, 2, 8, 6, bytes(18)), codes.IMAGE_FILE, "transparent"),
        (png(2, 2, 8, 0, bytes(6), chunk(b"tRNS", b"\0\0")), codes.IMAGE_FILE, "transparent"),
        (png(2, 2, 8, 0, bytes(6), interlace=1), codes.IMAGE_FILE, "interlaced"),
        (png(2, 2, 3, 0, bytes(6)), codes.IMAGE_FILE, "makes no sense"),
        (png(0, 2, 8, 0, b""), codes.IMAGE_FILE, "makes no sense"),
        (png(2, 2, 8, 0, bytes(5)), codes.IMAGE_FILE, "fewer pixels"),
        (png(2, 2, 8, 0, bytes(10**7)), codes.IMAGE_FILE, "more pixels"),
        (png(2, 2, 8, 0, b"\5\0\0\0\0\0"), codes.IMAGE_FILE, "unknown filter 5"),
        (png(2, 3, 8, 0, bytes(9)), codes.INPUT_SHAPE, "is 1x3x2, but the input is 1x2x2"),
        (png(2, 2, 8, 2, bytes(14)), codes.INPUT_SHAPE, "is 3x2x2"),
        (png(2**31, 2**31, 16, 0, b""), codes.INPUT_SHAPE, "is 1x2147483648x2147483648"),
    ],
)
def test_what_is_refused(data: bytes, code: str, message: str) -> None:
    with pytest.raises(NetError) as caught:
        read_png(data, "x.png", (1, 2, 2))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert message in diagnostic.message


@pytest.mark.parametrize("palette", [b"", chunk(b"PLTE", b"\0\0"), chunk(b"PLTE", b"\0\0\0")])
def test_a_palette_that_lacks_a_colour(palette: bytes) -> None:
    with pytest.raises(NetError) as caught:
        read_png(png(2, 2, 8, 3, b"\0\0\1\0\0\0", palette), "x.png", (3, 2, 2))
    assert [d.code for d in caught.value.diagnostics] == [codes.IMAGE_FILE]


@given(st.binary(max_size=60))
def test_no_pixel_stream_causes_another_exception(stream: bytes) -> None:
    header = struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", stream) + chunk(b"IEND", b"")
    with pytest.raises(NetError):
        read_png(data, "x.png", (1, 2, 2))
