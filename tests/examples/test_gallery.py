"""The gallery is what its script makes of the nets as they are, and the script counts right."""

from __future__ import annotations

import importlib
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
Nets = list[tuple[dict[str, Any], dict[str, Any]]]

PUBLISHED_FIELDS = {
    "AlexNet": 195,
    "VGG16": 212,
    "ResNet50v1": 483,
    "ResNet101v1": 1027,
    "ResNet152v1": 1507,
    "MobileNetV1": 315,
    "InceptionV3": 1311,
    "InceptionV4": 2071,
    "InceptionResNetV2": 3039,
}
"""Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks", Distill, appendix."""


@pytest.fixture(scope="module")
def gallery() -> Iterator[ModuleType]:
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module("gallery")
    patch.undo()


@pytest.fixture(scope="module")
def nets(gallery: ModuleType) -> Nets:
    found: Nets = gallery.summaries()
    return found


def test_the_page_is_current(gallery: ModuleType, nets: Nets) -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert text == gallery.readme(nets), "run `python examples/gallery.py`"


def test_the_picture_is_current(gallery: ModuleType, nets: Nets) -> None:
    text = (EXAMPLES / "gallery.svg").read_text(encoding="utf-8")
    assert text == gallery.picture(nets), "run `python examples/gallery.py`"


def test_fields_are_those_that_others_published(gallery: ModuleType, nets: Nets) -> None:
    found = {entry["net"]: gallery.sees(summary["layers"]) for entry, summary in nets}
    assert {net: found[net] for net in PUBLISHED_FIELDS} == {n: f"{f}x{f}" for n, f in PUBLISHED_FIELDS.items()}
    assert found["SEResNet50"] == "all"


def test_lines_count_the_blocks_that_a_net_is_made_of(gallery: ModuleType, tmp_path: Path) -> None:
    assert gallery.lines("lenet5.net", "LeNet5") == 6
    text = (EXAMPLES / "resnet.net").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in text if line.strip() and not line.startswith("#")]
    start = {
        name: wanted.index(next(w for w in wanted if w.startswith(f"block {name}("))) for name in ("plain", "resnet")
    }
    size = {name: next(n for n, line in enumerate(wanted[at:], 1) if line == "}") for name, at in start.items()}
    assert gallery.lines("resnet.net", "Plain18") == size["plain"] + size["resnet"] + 1


def test_a_program_is_shorter_than_torchvision_s(gallery: ModuleType) -> None:
    theirs = json.loads((EXAMPLES / "gallery.json").read_text(encoding="utf-8"))["lines"]
    ours = {entry["net"]: gallery.lines(entry["file"], entry["net"]) for entry in gallery.entries()}
    assert theirs
    assert [net for net, lines in theirs.items() if 2 * ours[net] > lines] == []


@pytest.mark.torch
def test_torchvision_s_lines_are_counted_anew(gallery: ModuleType, models: ModuleType) -> None:
    stored = json.loads((EXAMPLES / "gallery.json").read_text(encoding="utf-8"))
    if stored["version"] != version("torchvision"):
        pytest.skip(f"the lines are those of torchvision {stored['version']}")
    assert gallery.all_torchvision_lines() == stored["lines"]


def test_names_in_the_picture_do_not_overlap(gallery: ModuleType, nets: Nets) -> None:
    root = ElementTree.fromstring(gallery.picture(nets))
    space = "{http://www.w3.org/2000/svg}"
    points = [node for node in root.iter(f"{space}circle") if node.find(f"{space}title") is not None]
    names = {node.findtext(f"{space}title") for node in points}
    assert {"ResNet50", "LeNet5", "UNet"} <= names <= {entry["net"] for entry, _ in nets}
    scatter = importlib.import_module("scatter")
    places = [(float(node.get("cx", "")), float(node.get("cy", ""))) for node in points]
    boxes = list(scatter.placed([node.findtext(f"{space}title") for node in points], places))
    assert all(scatter.crossed(box, boxes[:number]) == 0 for number, box in enumerate(boxes))
    assert all(scatter.LEFT <= x <= scatter.RIGHT and scatter.TOP <= y <= scatter.BOTTOM for x, y in places)


def test_points_are_where_their_numbers_say(gallery: ModuleType) -> None:
    scatter = importlib.import_module("scatter")
    axis = scatter.Axis(2.0, 4.0, 100.0, 500.0)
    assert [axis.at(value) for value in (100, 1_000, 10_000)] == [100, 300, 500]
    assert axis.ticks() == [100, 1_000, 10_000]
    assert [scatter.short(value) for value in (100, 1e3, 1e7, 1e11)] == ["100", "1 k", "10 M", "100 G"]
