"""A detector's outputs are boxes: on a real picture they are where the digits are, and they are drawn."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module("find_digits")
    patch.undo()


def test_every_digit_is_found_and_read_and_nothing_else(script: ModuleType) -> None:
    """Boxes within two pixels of the digits', which training never saw."""
    paper, written = script.page()
    found = script.find(paper)
    assert sorted(item.score for item in found)[::-1] == [item.score for item in found]
    near = [[digit for digit, corner in written if max(abs(np.subtract(corner, item.corner))) <= 2] for item in found]
    assert near == [[item.digit] for item in found]
    assert len(found) == len(written) == 15


def test_the_boxes_are_drawn(script: ModuleType) -> None:
    image_module = pytest.importorskip("PIL.Image")
    stored = np.asarray(image_module.open(EXAMPLES / "find_digits.png"))
    paper, written = script.page()
    picture = script.drawn(paper, [script.Found(digit, corner, 1.0) for digit, corner in written])
    assert stored.shape == picture.shape == (script.ZOOM * script.HEIGHT, script.ZOOM * script.WIDTH, 3)
    for _, (x, y) in written:
        inner = stored[script.ZOOM * y : script.ZOOM * (y + 8), script.ZOOM * x : script.ZOOM * (x + 8)]
        around = stored[script.ZOOM * y - 14 :, script.ZOOM * x - 14 :][:70, :70]
        assert (around == script.RED).all(-1).any()
        assert inner.min() < 128
