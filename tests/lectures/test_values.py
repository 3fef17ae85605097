"""The worked exercises, number by number: by the source's own table, by hand, or by PyTorch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import netdsl

LECTURES = Path(__file__).parents[2] / "examples" / "lectures"
FIGURES = json.loads(Path(__file__).with_name("figures.json").read_text(encoding="utf-8"))["examples"]

Script = Callable[[str], ModuleType]


def cut(values: Any) -> list[list[float]]:
    """Two decimals, the rest cut off, as the slides have them."""
    rows: list[list[float]] = (np.trunc(np.round(values * 100, 3)) / 100 + 0.0).tolist()
    return rows


def test_the_guide_s_figure(script: Script) -> None:
    values = next(entry["values"] for entry in FIGURES if entry["id"] == "dumoulin-fig1.1")
    guide = script("guide")
    np.testing.assert_array_equal(guide.IMAGE, values["x"])
    np.testing.assert_array_equal(guide.KERNEL, values["w"])
    np.testing.assert_array_equal(guide.convolve(guide.KERNEL), values["y"])
    assert not np.array_equal(guide.convolve(guide.KERNEL[::-1, ::-1].copy()), values["y"])


def test_the_x_under_its_falling_diagonal(script: Script) -> None:
    """The table of Rohrer's slides."""
    filtered, pooled = script("x").run()
    assert cut(filtered[0].astype(float)) == [
        [0.77, -0.11, 0.11, 0.33, 0.55, -0.11, 0.33],
        [-0.11, 1.00, -0.11, 0.33, -0.11, 0.11, -0.11],
        [0.11, -0.11, 1.00, -0.33, 0.11, -0.11, 0.55],
        [0.33, 0.33, -0.33, 0.55, -0.33, 0.33, 0.33],
        [0.55, -0.11, 0.11, -0.33, 1.00, -0.11, 0.11],
        [-0.11, 0.11, -0.11, 0.33, -0.11, 1.00, -0.11],
        [0.33, -0.11, 0.55, 0.33, 0.11, -0.11, 0.77],
    ]
    assert cut(pooled[0].astype(float)) == [
        [1.00, 0.33, 0.55, 0.33],
        [0.33, 1.00, 0.33, 0.55],
        [0.55, 0.33, 1.00, 0.11],
        [0.33, 0.55, 0.11, 0.77],
    ]


def test_the_x_under_its_other_features(script: Script) -> None:
    """The crossing answers fully in the middle only; the rising diagonal is the falling one's mirror image."""
    filtered, pooled = script("x").run()
    assert cut(pooled[1].astype(float)) == [
        [0.55, 0.33, 0.55, 0.33],
        [0.33, 1.00, 0.55, 0.11],
        [0.55, 0.55, 0.55, 0.11],
        [0.33, 0.11, 0.11, 0.33],
    ]
    assert np.argwhere(filtered[1] > 0.99).tolist() == [[3, 3]]
    np.testing.assert_allclose(filtered[2], filtered[0, :, ::-1], atol=1e-6)


def test_edges_of_the_axes(script: Script) -> None:
    """By hand: beside an upright line of one pixel, Prewitt's three rows give 3, Sobel's 1 + 2 + 1 give 4, positive on
    its left and negative on its right. The level axis, where a window meets it, is the same on both sides and takes
    its row's weight away; of the transposed filters the same holds for the level axis."""
    edges = script("edges")
    prewitt_upright, prewitt_level, sobel_upright, sobel_level = edges.run(edges.picture(edges.AXES))
    across_upright = [0, 1, 0, -1, 0, 0, 0]
    across_level = [0, 0, 0, 0, 1, 0, -1]
    np.testing.assert_array_equal(prewitt_upright, np.outer([3, 3, 3, 3, 2, 2, 2], across_upright))
    np.testing.assert_array_equal(prewitt_level, np.outer(across_level, [3, 2, 2, 2, 3, 3, 3]))
    np.testing.assert_array_equal(sobel_upright, np.outer([4, 4, 4, 4, 3, 2, 3], across_upright))
    np.testing.assert_array_equal(sobel_level, np.outer(across_level, [4, 3, 2, 3, 4, 4, 4]))


@pytest.mark.torch
def test_a_constant_convolution_is_average_pooling(script: Script) -> None:
    torch = pytest.importorskip("torch")
    image = np.random.default_rng(1).standard_normal((3, 6, 8)).astype(np.float32)
    averaged, convolved = script("average").run(image)
    np.testing.assert_allclose(convolved, averaged, atol=1e-6)
    wanted = torch.nn.functional.avg_pool2d(torch.from_numpy(image), 2).numpy()
    np.testing.assert_allclose(averaged, wanted, atol=1e-6)


@pytest.mark.parametrize(("down", "right"), [(0, 1), (3, 0), (4, 4), (2, 5)])
def test_a_map_moves_with_its_input_and_its_maximum_does_not(script: Script, down: int, right: int) -> None:
    shift = script("shift")
    before, found = shift.run(1, 1)
    after, found_after = shift.run(1 + down, 1 + right)
    np.testing.assert_allclose(after, np.roll(before, (down, right), axis=(1, 2)), atol=1e-6)
    np.testing.assert_allclose(found_after, found, atol=1e-6)
    assert (found > 0).any()


def fields(net: str, width: int) -> tuple[list[int], int]:
    """Receptive field of the last layer and number of weights."""
    table = netdsl.load(str(LECTURES / "fields.net"), net=net, width=width).summary().to_dict()
    field: list[int] = table["layers"][-1]["receptive_field"]
    return field, table["totals"]["params"]


@pytest.mark.parametrize("width", [1, 64, 512])
def test_stacks_of_small_filters_see_as_much_with_fewer_weights(width: int) -> None:
    assert fields("Two3x3", width) == ([5, 5], 18 * width**2)
    assert fields("One5x5", width) == ([5, 5], 25 * width**2)
    assert fields("Three3x3", width) == ([7, 7], 27 * width**2)
    assert fields("One7x7", width) == ([7, 7], 49 * width**2)


def test_a_filter_is_shared_and_a_full_layer_is_not() -> None:
    def params(net: str) -> int:
        found: int = netdsl.load(str(LECTURES / "sharing.net"), net=net).summary().to_dict()["totals"]["params"]
        return found

    assert params("AllJoined") == 200 * 200 * 40_000 == 1_600_000_000
    assert params("OneFilter") == 100
