"""Receptive fields against PyTorch's gradients, which reach exactly what an output sees, and published figures."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import netdsl

Load = Callable[[str], Any]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """The rows of a program's summary, by name, from its body."""

    def rows(body: str, size: str = "1x64x64", before: str = "") -> dict[str, Any]:
        (tmp_path / "a.net").write_text(f"{before}net A {{\n  input image: {size}\n{body}\n}}\n")
        layers = netdsl.load(tmp_path / "a.net").summary().to_dict()["layers"]
        return {row["name"]: row for row in layers}

    return rows


def field(row: dict[str, Any]) -> tuple[Any, Any]:
    return row["receptive_field"], row["stride"]


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(12))
def test_random_chains_see_what_gradients_reach(load: Load, seed: int) -> None:
    torch = pytest.importorskip("torch")
    draw = random.Random(seed)
    body, layers, size = [], [], 181
    for _ in range(draw.randint(2, 4)):
        kernel, stride = (draw.randint(1, 4), draw.randint(1, 4)), (draw.randint(1, 2), draw.randint(1, 3))
        kind = draw.choice(["conv", "conv", "pool", "upsample", "transposed"])
        if kind == "conv":
            dilation = draw.randint(1, 2)
            padding = draw.randint(0, 1)
            body.append(f"  conv 1 k{kernel[0]}x{kernel[1]} s{stride[0]}x{stride[1]} d{dilation} p{padding} nobias")
            layers.append(torch.nn.Conv2d(1, 1, kernel, stride, padding, dilation, bias=False))
        elif kind == "transposed":
            kernel = (stride[0] * draw.randint(1, 2), stride[1] * draw.randint(1, 2))
            body.append(f"  upconv 1 k{kernel[0]}x{kernel[1]} s{stride[0]}x{stride[1]} nobias")
            layers.append(torch.nn.ConvTranspose2d(1, 1, kernel, stride, bias=False))
        elif kind == "pool":
            body.append(f"  pool avg k{kernel[0]}x{kernel[1]} s{stride[0]}x{stride[1]}")
            layers.append(torch.nn.AvgPool2d(kernel, stride))
        else:
            body.append("  upsample s2 -> conv 1 k2 s2 nobias")
            layers += [torch.nn.Upsample(scale_factor=2), torch.nn.Conv2d(1, 1, 2, 2, bias=False)]
    rows = load("\n".join(body), f"1x{size}x{size}")
    image = torch.ones(1, 1, size, size, requires_grad=True)
    net = torch.nn.Sequential(*layers)
    for weight in net.parameters():
        torch.nn.init.ones_(weight)
    output = net(image)
    # One output after another along an axis: the widest sight of any of them, and the distance that their sights move.
    size_found, ends = [0, 0], [[], []]  # type: ignore[var-annotated]
    height, width = output.shape[2:]
    for axis, extent in enumerate((height, width)):
        for place in range(extent // 2 - 6, extent // 2 + 6):
            at = (place, width // 2) if axis == 0 else (height // 2, place)
            (gradient,) = torch.autograd.grad(output[0, 0, at[0], at[1]], image, retain_graph=True)
            reached = gradient[0, 0].nonzero()[:, axis]
            size_found[axis] = max(size_found[axis], int(reached.max() - reached.min() + 1))
            ends[axis].append(int(reached.min()))
    *_, last = rows.values()
    for axis in range(2):
        stated = last["receptive_field"][axis]
        if all(layer.__class__.__name__ in ("Conv2d", "AvgPool2d") for layer in layers):
            assert stated == size_found[axis], body
        else:
            # Where upsampled elements fall between input elements, the stated extent is a fraction, or an upper bound.
            assert size_found[axis] - 1 < stated + 1, body
        moved = (ends[axis][-1] - ends[axis][0]) / (len(ends[axis]) - 1)
        assert abs(moved - last["stride"][axis]) <= 2 * max(last["stride"][axis], 1) / (len(ends[axis]) - 1), body


# Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks", table 1 and appendix.
PUBLISHED = {
    ("alexnet.net", "AlexNet"): ("pool3", [195, 195], [32, 32]),
    ("vgg.net", "VGG16"): ("vgg.pool.4", [212, 212], [32, 32]),
}


@pytest.mark.parametrize(("file", "net"), PUBLISHED)
def test_published_figures(file: str, net: str) -> None:
    name, size, stride = PUBLISHED[file, net]
    example = Path(__file__).parents[2] / "examples" / file
    rows = {row["name"]: row for row in netdsl.load(example, net=net).summary().to_dict()["layers"]}
    assert field(rows[name]) == (size, stride)


def test_stacked_small_kernels_see_as_much_as_a_large_one(load: Load) -> None:
    rows = load("  conv 8 k3 p1\n  conv 8 k3 p1\n  conv 8 k3 p1")
    assert [row["receptive_field"] for row in rows.values()] == [[3, 3], [5, 5], [7, 7]]


def test_branches_see_as_much_as_the_largest(load: Load) -> None:
    rows = load("  concat { | it | conv 4 k1 | conv 4 k3 p1 -> conv 4 k5 p2 } -> conv 8 k3 p1")
    assert field(rows["concat"]) == ([7, 7], [1, 1])
    assert field(rows["conv4"]) == ([9, 9], [1, 1])


def test_vectors_keep_what_the_map_before_them_saw(load: Load) -> None:
    rows = load("  conv 8 k3 s2 p1 -> flatten -> fc 10 -> relu")
    assert field(rows["flatten"]) == ([65, 65], None)
    assert field(rows["relu"]) == ([65, 65], None)


def test_a_gate_of_the_whole_map_shows_everything_once(load: Load) -> None:
    rows = load("  mul { | it | pool avg global -> sigmoid } -> conv 1 k3 p1 -> conv 1 k3 p1")
    assert field(rows["mul"]) == ([64, 64], [1, 1])
    assert field(rows["conv2"]) == ([64, 64], [1, 1])


def test_lines_and_vectors(load: Load) -> None:
    assert field(load("  conv 8 k5 s2", "4x100")["conv"]) == ([5], [2])
    assert field(load("  fc 8", "100")["fc"]) == (None, None)


def test_axes_are_followed(load: Load) -> None:
    body = "  conv 8 k3x5 p1x2 -> transpose order=[1, 2, 0] -> layernorm -> fc 8 -> transpose order=[2, 0, 1]"
    rows = load(body + " -> conv 8 k3 p1")
    assert field(rows["fc"]) == ([3, 5], [1, 1])
    assert field(rows["conv2"]) == ([5, 7], [1, 1])
    tokens = load("  conv 8 k4 s4 -> tokens -> layernorm as x -> matmul(x, x) transpose_b")
    assert field(tokens["x"]) == ([4, 4], None)
    assert field(tokens["matmul"]) == ([64, 64], None)


def test_upsampling_halves_the_stride_exactly(load: Load) -> None:
    rows = load("  conv 1 k3 p1 -> upsample s2 -> conv 1 k3 p1 -> upsample s3 -> conv 1 k3 p1", "1x12x12")
    assert field(rows["conv2"]) == ([4, 4], [0.5, 0.5])
    assert field(rows["conv3"]) == (pytest.approx([4 + 1 / 3] * 2), pytest.approx([1 / 6] * 2))
