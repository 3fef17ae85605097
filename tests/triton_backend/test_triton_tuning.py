"""Tiles that a generated module measures: the search, with made-up clocks; the file; what `--tuned` makes of it."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from interpreted import Interpreter, compare, random_weights
from safetensors.numpy import save_file
from test_triton_module import needs_triton, run_python

from netdsl import backends, codes
from netdsl.codegen.triton import tuned
from netdsl.codegen.triton.backend import compile_graph
from netdsl.diagnostics import NetError
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph
from netdsl.ops import Conv, Pool, Relu
from netdsl.tensor import DType, TensorType

pytestmark = pytest.mark.triton
CONV = "conv 1x2 16x2x4 to 128x2x3"


def small() -> Graph:
    """A convolution and a 1x1 convolution of what lies in the arena: both have twins; in float16 they are a chain."""
    builder = GraphBuilder("Small")
    x = builder.input("x", TensorType((16, 2, 4)))
    (y,) = builder.node(Pool("max", (1,)), (x,), name="pool")
    (y,) = builder.node(Conv(128, (1, 2)), (y,), name="conv")
    (y,) = builder.node(Relu(), (y,), name="relu")
    (y,) = builder.node(Conv(128, (1,)), (y,), name="point")
    return builder.result("y", y).finish()


@needs_triton
@pytest.mark.parametrize(("target", "dtype"), [(90, DType.FLOAT16), (90, DType.TF32), (80, DType.TF32)])
def test_the_search_finds_what_is_faster_and_right(
    interpreter: Interpreter, tmp_path: Path, target: int, dtype: DType
) -> None:
    graph = small()
    compile_graph(graph, dtype).write(tmp_path / "net.py")
    save_file(random_weights(graph, dtype), tmp_path / "net.safetensors")
    done = run_python(tmp_path, "-W", "ignore", str(Path(__file__).parent / "check_tuning.py"), str(target))
    assert done.returncode == 0, done.stdout + done.stderr
    profile = done.stdout.partition("of limit")[2].splitlines()
    names = [line.rpartition(", ")[2] for line in profile if "%" in line]
    layers = ["conv + point"] if dtype is DType.FLOAT16 else ["conv", "point"]
    assert names == ["x.last", *layers, "point.first"]
    # A tile from the file lands in the module that is compiled with it.
    path = tmp_path / "tuned.json"
    artifact = backends.generate(graph, "triton", dtype.label, tuned=str(path))
    found = compare(interpreter, graph, dtype, 2, target=target, tiling=tuned.read(str(path)))
    assert tables(found.source) == tables(artifact.source)
    measured = json.loads(path.read_text())["tiles"]
    table = tables(artifact.source)[target]
    for item in measured:
        assert (item["samples"], as_tuple(item["tile"])) in table[item["shape"]]
    assert f"# Those of {target} are the fastest found on the device interpreter (torch" in artifact.source
    others = tables(compile_graph(graph, dtype).source)
    assert {kind: table for kind, table in tables(artifact.source).items() if kind != target} == {
        kind: table for kind, table in others.items() if kind != target
    }


def tables(source: str) -> Mapping[int, Mapping[str, Any]]:
    """TILES of a module."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TILES":
            found: Mapping[int, Mapping[str, Any]] = ast.literal_eval(node.value)
            return found
    raise AssertionError("no TILES")


def as_tuple(tile: list[Any]) -> tuple[Any, ...]:
    return tuple(tuple(part) if isinstance(part, list) else part for part in tile)


def content(**changes: object) -> dict[str, object]:
    """A file that fits, but for changes."""
    tile = {"shape": CONV, "samples": 8, "tile": [[1, 4, 8], 64, 16, 4, 3, 2], "before_us": 5.0, "after_us": 4.5}
    about = {"format": tuned.FORMAT, "net": "Small", "dtype": "float16", "target": 90, "device": "NVIDIA H200"}
    return {**about, "torch": "2.11.0", "triton": "3.6.0", "tiles": [tile], **changes}


def entry(**changes: object) -> dict[str, object]:
    (tile,) = content()["tiles"]  # type: ignore[misc]
    return content(tiles=[{**tile, **changes}])


def refused(path: Path, data: bytes, backend: str = "triton") -> tuple[str, str]:
    """Code and message."""
    path.write_bytes(data)
    with pytest.raises(NetError) as caught:
        backends.generate(small(), backend, "float16", tuned=str(path))
    (diagnostic,) = caught.value.diagnostics
    return str(diagnostic.code), diagnostic.message


def test_a_file_that_fits_is_baked_in_and_sorted_by_samples(tmp_path: Path) -> None:
    path = tmp_path / "good.json"
    path.write_text(json.dumps(content()))
    source = backends.generate(small(), "triton", "float16", tuned=str(path)).source
    assert (8, ((1, 4, 8), 64, 16, 4, 3, 2)) in tables(source)[90][CONV]
    assert "PARTS = 2048 * 4 * COUNTS" in source, "room for the sums of a share"
    assert "# Those of 90 are the fastest found on the device NVIDIA H200 (torch 2.11.0, triton 3.6.0)" in source
    assert source == backends.generate(small(), "triton", "float16", tuned=str(path)).source
    path.write_text(json.dumps(content(device="x\nimport os\u202e")))
    assert "\nimport os\u202e" not in backends.generate(small(), "triton", "float16", tuned=str(path)).source


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b"1" * 5000,
        b" " * 2**21,
        b"[]",
        b"null",
        b"{}",
        *(
            json.dumps(content(**changes)).encode()
            for changes in (
                {"format": "netdsl tuned tiles 1"},
                {"net": 3},
                {"device": "x" * 1000},
                {"target": 70},
                {"target": True},
                {"target": [90]},
                {"tiles": {}},
                {"tiles": [3]},
                {"tiles": [{}]},
            )
        ),
        *(
            json.dumps(entry(**changes)).encode()
            for changes in (
                {"shape": 3},
                {"samples": 0},
                {"samples": True},
                {"samples": 2**70},
                {"tile": 64},
                {"before_us": "fast"},
                {"more": 1},
            )
        ),
        json.dumps(content(tiles=content()["tiles"] * 2)).encode(),  # type: ignore[operator]
    ],
    ids=lambda data: repr(data[:40]),
)
def test_what_is_no_file_of_tuned_tiles_is_refused(tmp_path: Path, data: bytes) -> None:
    code, message = refused(tmp_path / "bad.json", data)
    assert code == str(codes.NOT_TUNED)
    assert "bad.json is not a file of tuned tiles: " in message


@pytest.mark.parametrize(
    "tile",
    [
        [],
        [64, 64, 16, 4],
        [64, 64, 16, 4, 3],
        [64.0, 64, 16, 4, 3, 1],
        [True, 64, 16, 4, 3, 1],
        [48, 64, 16, 4, 3, 1],
        [64, 64, 8, 4, 3, 1],
        [64, 64, 16, 8, 3, 1],
        [64, 64, 16, 4, 1000, 1],
        [64, 64, 16, 4, 3, 32],
        [256, 256, 16, 4, 2, 2],
        [[64], 64, 16, 4, 3, 2],
        [[2, 4], 64, 16, 4, 3, 2],
        [[1, 4, 8], 64, 128, 4, 3, 2],
        [[1, 4, 8], 64, 16, 4, 3, 3],
        [[1, 4, 8], 64, 16, 5, 3, 2],
        [[1, 4, "8"], 64, 16, 4, 3, 2],
        [[1, 4, 10**400], 64, 16, 4, 3, 2],
        ["__import__('os')", 64, 16, 4, 3, 1],
    ],
    ids=str,
)
def test_tiles_that_no_kernel_can_have_are_refused(tmp_path: Path, tile: list[object]) -> None:
    code, message = refused(tmp_path / "bad.json", json.dumps(entry(tile=tile)).encode())
    assert code == str(codes.TUNED_ELSEWHERE)
    assert "can have the tile" in message


def test_files_of_other_nets_and_backends_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    for changes in ({"net": "Large"}, {"dtype": "bfloat16"}):
        code, message = refused(path, json.dumps(content(**changes)).encode())
        assert (code, "not of Small in float16" in message) == (str(codes.TUNED_ELSEWHERE), True)
    code, message = refused(path, json.dumps(entry(shape="conv 9x9")).encode())
    assert (code, "a shape that net Small does not have" in message) == (str(codes.TUNED_ELSEWHERE), True)
    code, _ = refused(path, json.dumps(content()).encode(), "numpy")
    assert code == str(codes.NOT_TUNED)
    with pytest.raises(NetError) as caught:
        backends.generate(small(), "triton", "float16", tuned=str(tmp_path / "none.json"))
    assert caught.value.diagnostics[0].code == codes.CANNOT_READ
