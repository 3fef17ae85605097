"""Kernels and blocks that a module measures: the search, with made-up clocks; the file; what `--tuned` makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generated import difference, load_source, random_inputs, random_weights
from safetensors.numpy import save_file

import netdsl
from netdsl.diagnostics import NetError
from netdsl.reference.interpret import interpret
from netdsl.tensor import DType

NET = """net Small {
  input image: 3x20x18
  conv 16 k5 s2 p2 -> relu
  conv 64 k3 p1 -> relu
  skip { conv 64 k3 p1 nobias -> relu -> conv 64 k1 }
  conv 32 k3 s2 p1 -> bn -> relu
  conv 32 k3 p1 g32
  conv 16 k1 s2 -> flatten -> fc 5
}"""
PLAIN = "10x9x64 10x9x64 3x3 1x1 1x1 1x1x1x1"
POINT = "10x9x64 10x9x64"


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> netdsl.Network:
    path = tmp_path_factory.mktemp("nets") / "small.net"
    path.write_text(NET)
    return netdsl.load(path)


def tuned_file(path: Path, layers: Any, **about: Any) -> Path:
    head = {"format": "netdsl tuned blocks 1", "net": "Small", "dtype": "float32", "processor": "x", "numpy": "2"}
    path.write_text(json.dumps({**head, "layers": layers, **about}))
    return path


def entry(layer: str, kernel: str, **block: Any) -> dict[str, Any]:
    return {"layer": layer, "kernel": kernel, "block": block, "before_ms": 2.0, "after_ms": 1.0}


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(
    ("kernel", "size"), [("conv_im2col", 0), ("conv_winograd", 2), ("conv_winograd", 4), ("conv_1x1", 0)]
)
def test_what_is_fastest_is_baked_in(kernel: str, size: int, batch: int, net: netdsl.Network, tmp_path: Path) -> None:
    module = load_source(net.compile().source)
    weights = random_weights(net.graph, DType.FLOAT32)
    inputs = random_inputs(net.graph, DType.FLOAT32, batch)
    asked = []

    def attempt(name: str, crew: Any, x: Any, out: Any, block: dict[str, int], window: Any) -> float:
        asked.append((name, tuple(block)))
        assert module.attempt(name, crew, x, out, block, window) > 0
        wanted = name == kernel and block.get("size", 0) == size
        return float(block["rows"] + 100 * (not wanted))  # of those that are wanted, the fewest rows

    winners = module.tune(module.Model(weights, 2), inputs, attempt)
    found = {item["layer"]: item for item in winners}
    assert len(found) == 6
    chosen = found[PLAIN if kernel != "conv_1x1" else POINT]
    assert (chosen["kernel"], chosen["block"].get("size", 0)) == (kernel, size)
    assert {name for name, _ in asked} == {"conv_im2col", "conv_winograd", "conv_1x1"}
    source = net.compile(tuned=tuned_file(tmp_path / "a.json", winners)).source
    printed = ", ".join(f'"{name}": {number}' for name, number in chosen["block"].items())
    assert printed in source
    (expected,) = interpret(net.graph, inputs, weights, np.float32)
    assert difference(load_source(source).Model(weights, 2)(*inputs.values()), expected) <= 2e-5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ('{"format": "netdsl tuned tiles 1"}', 'it does not say "format": "netdsl tuned blocks 1"'),
        ({"net": 5}, "its net is not a text"),
        ({"layers": {}}, "its layers are not a list"),
        ([5], "entry 0 of its layers does not hold layer, kernel, block"),
        ([entry(POINT, "os.system", rows=1)], "names no kernel with the numbers of its block"),
        ([entry(POINT, "conv_1x1", rows=True)], "names no kernel"),
        ([entry(POINT, "conv_1x1", rows=0)], "names no kernel"),
        ([entry(POINT, "conv_1x1", rows=2**40)], "names no kernel"),
        ([entry(POINT, "conv_1x1", rows=8, images=1)], "names no kernel"),
        ([entry(POINT, "conv_1x1", rows=8)] * 2, "entry 1 of its layers repeats `10x9x64 10x9x64`"),
    ],
)
def test_what_is_no_such_file_is_refused(content: Any, said: str, net: netdsl.Network, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    if isinstance(content, str):
        path.write_text(content)
    elif isinstance(content, list):
        tuned_file(path, content)
    else:
        tuned_file(path, **{"layers": [], **content})
    with pytest.raises(NetError, match="E0705") as caught:
        net.compile(tuned=path)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("about", "layers", "said"),
    [
        ({"net": "Other"}, [], "holds blocks of net Other in float32, not of Small in float32"),
        ({"dtype": "float64"}, [], "in float64, not of Small in float32"),
        ({}, [entry("1x1x1 1x1x1", "conv_1x1", rows=8)], "a layer that net Small does not have"),
        ({}, [entry(POINT, "conv_im2col", images=1, rows=8)], "can be computed by conv_im2col"),
        ({}, [entry(PLAIN, "conv_winograd", size=3, images=1, rows=6)], "can be computed by conv_winograd"),
        ({}, [entry(PLAIN, "conv_winograd", size=4, images=1, rows=6)], "can be computed by conv_winograd"),
        ({}, [entry(PLAIN, "conv_winograd", size=4, images=2, rows=4)], "can be computed by conv_winograd"),
        ({}, [entry(PLAIN, "conv_winograd", size=2, images=2**20, rows=10)], "can be computed by conv_winograd"),
        ({}, [entry(PLAIN, "conv_im2col", images=1, rows=11)], "can be computed by conv_im2col"),
        ({}, [entry(PLAIN, "conv_im2col", images=65, rows=10)], "can be computed by conv_im2col"),
    ],
)
def test_what_does_not_fit_is_refused(
    about: dict[str, Any], layers: list[Any], said: str, net: netdsl.Network, tmp_path: Path
) -> None:
    with pytest.raises(NetError, match="E0706") as caught:
        net.compile(tuned=tuned_file(tmp_path / "a.json", layers, **about))
    assert said in str(caught.value)


def test_a_block_of_too_much_memory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wide.net").write_text("net Small { input image: 64x128x128; conv 64 k3 p1 }")
    layer = "128x128x64 128x128x64 3x3 1x1 1x1 1x1x1x1"
    path = tuned_file(tmp_path / "a.json", [entry(layer, "conv_im2col", images=2, rows=128)])
    with pytest.raises(NetError, match="E0706"):
        netdsl.load(tmp_path / "wide.net").compile(tuned=path)


def test_a_module_tunes_itself_as_a_script(net: netdsl.Network, tmp_path: Path) -> None:
    net.compile().write(tmp_path / "small.py")
    save_file(random_weights(net.graph, DType.FLOAT32), tmp_path / "small.safetensors")
    command = [sys.executable, "small.py", "--weights", "small.safetensors", "--tune", "--batch", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Give it to netdsl compile as --tuned" in done.stdout
    assert net.compile(tuned=tmp_path / "small.tuned.json").source
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (again.returncode, "replace it with --force" in again.stderr) == (2, True)


def test_more_threads_than_images_tune_too(net: netdsl.Network, capsys: pytest.CaptureFixture[str]) -> None:
    module = load_source(net.compile().source)
    (shape,) = (value.type.shape for value in net.graph.inputs)
    model = module.Model(random_weights(net.graph, DType.FLOAT32), 4)
    images = np.ones((2, *shape), np.float32)
    assert module.tune(model, dict.fromkeys(module.INPUTS, images), attempt=lambda *_: 1.0)
    assert "1.000 ms" in capsys.readouterr().out
