"""What is stored inside a concatenation, and that nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

import netdsl
from netdsl.analysis.joined import Slice, joined_results, joined_values, left_to_copy, storage_ranges
from netdsl.analysis.liveness import activation_bytes, live_bytes, live_ranges
from netdsl.ir.graph import Graph, Node, Value
from netdsl.passes.manager import run_passes
from netdsl.passes.pipeline import CHANNELS_LAST

EXAMPLES = Path(__file__).parents[2] / "examples"
GROWING = """
  conv 4 k3 p1 as a
  conv(image) 2 k3 p1 as b
  concat(a, b) -> conv 3 k1 as c
  concat(a, b, c) -> conv 5 k1 as d
  concat(a, b, c, d) -> conv 1 k1
"""
TWICE = """
  conv 4 k3 p1 as a
  conv(image) 2 k3 p1 as b
  concat(image, a, b, a) -> conv 3 k1 as c
  concat(a, c) -> conv 3 k1
"""


def lowered(path: Path, net: str | None = None) -> Graph:
    graph, _ = run_passes(netdsl.load(path, net=net).graph, CHANNELS_LAST)
    return graph


def of_text(body: str, tmp_path: Path) -> Graph:
    (tmp_path / "a.net").write_text(f"net A {{\n  input image: 3x8x8\n{body}}}\n")
    return lowered(tmp_path / "a.net")


def anything(*_: object) -> bool:
    return True


def places(slices: dict[Value, Slice]) -> dict[str, tuple[str, int]]:
    return {value.name: (at.whole.name, at.start) for value, at in slices.items()}


def concats(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if node.op.word == "concat"]


def copied(graph: Graph, slices: dict[Value, Slice]) -> list[list[tuple[str, int]]]:
    return [[(value.name, start) for value, start in left_to_copy(node, slices)] for node in concats(graph)]


def test_a_list_that_grows_is_one_buffer(tmp_path: Path) -> None:
    graph = of_text(GROWING, tmp_path)
    slices = joined_values(graph, anything)
    assert places(slices) == {
        "a": ("concat3", 0),
        "b": ("concat3", 4),
        "c": ("concat3", 6),
        "d": ("concat3", 9),
        "concat": ("concat3", 0),
        "concat2": ("concat3", 0),
    }
    assert copied(graph, slices) == [[], [], []]
    assert len(joined_results(graph, slices)) == 3
    whole = next(item for item in storage_ranges(graph, slices) if item.value.name == "concat3")
    ranges = {value.name: (first, last) for value, first, last in live_ranges(graph)}
    assert whole[1:] == (ranges["a"][0], ranges["concat3"][1])


def test_the_last_concat_takes_a_value_and_the_others_copy_it(tmp_path: Path) -> None:
    graph = of_text(TWICE, tmp_path)
    slices = joined_values(graph, anything)
    assert places(slices) == {"a": ("concat2", 0), "c": ("concat2", 4), "b": ("concat", 7), "image.last": ("concat", 0)}
    assert copied(graph, slices) == [[("a", 3), ("a", 9)], []]


def test_what_does_not_fit_stays_apart(tmp_path: Path) -> None:
    graph = of_text(GROWING, tmp_path)
    asked = {}

    def fits(value: Value, at: Slice, maker: Node, readers: object) -> bool:
        asked[value.name] = (at.start, value in maker.outputs, [node.name for node in readers])  # type: ignore[attr-defined]
        return value.name not in ("b", "concat2")

    slices = joined_values(graph, fits)
    assert asked["a"] == (0, True, ["concat", "concat2", "concat3"])
    assert places(slices) == {"a": ("concat3", 0), "c": ("concat3", 6), "d": ("concat3", 9)}
    assert copied(graph, slices) == [[("a", 0), ("b", 4)], [("a", 0), ("b", 4), ("c", 6)], [("b", 4)]]
    assert [value.name for value in joined_results(graph, slices)] == ["concat3"]


def test_rows_of_positions_are_copied(tmp_path: Path) -> None:
    graph = of_text("  conv 3 k1 as a\n  concat(image, a) axis=1\n", tmp_path)
    slices = joined_values(graph, anything)
    assert slices == {}
    assert joined_results(graph, slices) == set()


@pytest.mark.parametrize(
    ("file", "net", "least"),
    [
        ("densenet", "DenseNet121", 116),
        ("unet", "UNetSame", 8),
        ("googlenet", "GoogLeNet", 36),
        ("yolo5", "YOLOv5s", 0),
    ],
)
def test_slices_share_elements_only_with_what_they_are_part_of(file: str, net: str, least: int) -> None:
    path = next(EXAMPLES.glob(f"{file}*.net"))
    graph = lowered(path, net)
    slices = joined_values(graph, anything)
    assert len(slices) >= least
    inside = {}
    for node in concats(graph):
        (result,) = node.outputs
        inside[result] = set(node.inputs).union(*(inside.get(value, set()) for value in node.inputs))
        if net == "DenseNet121":
            assert left_to_copy(node, slices) == []
    spans = [(v, at.whole, at.start, at.start + v.type.shape[0]) for v, at in slices.items()]
    for v, whole, start, stop in spans:
        assert whole not in slices
        assert 0 <= start < stop <= whole.type.shape[0]
        assert v in inside[whole]
        for w, other, first, last in spans:
            if v is not w and whole is other and start < last and first < stop:
                assert v in inside.get(w, ()) or w in inside.get(v, ())


def test_unet_needs_less_memory_without_copies() -> None:
    graph = lowered(EXAMPLES / "unet.net", "UNetSame")

    def peak(slices: dict[Value, Slice]) -> int:
        ranges = storage_ranges(graph, slices)
        return max(live_bytes((activation_bytes(v.type), first, last) for v, first, last in ranges))

    assert peak(joined_values(graph, anything)) < peak({})
