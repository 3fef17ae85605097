"""What is written for a GPU, walked through without one: with `stand_ins`, the CPU takes its place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import netdsl
from netdsl.codegen.triton.aot import load_module
from netdsl.codegen.triton.backend import compile_graph
from netdsl.ir.build import GraphBuilder
from netdsl.ops import Fc, Relu, Softmax
from netdsl.tensor import DType, TensorType
from netdsl.weights import initialise

pytestmark = pytest.mark.triton
HERE = Path(__file__).parent
BENCHMARKS = HERE.parents[1] / "benchmarks"
MINI = HERE / "mini.net"

for library in ("torch", "triton", "safetensors"):
    pytest.importorskip(library)


def python(*arguments: str | Path) -> str:
    """What a script prints where there seems to be a GPU."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRITON_")}
    environment |= {"PYTHONPATH": str(HERE / "stand_ins"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_checks_pass(tmp_path: Path) -> None:
    generate = load_module(HERE / "generate.py")
    generate.write(tmp_path, (Softmax,), (generate.MINI,))
    for path in tmp_path.glob("*_*.py"):
        if not path.stem.endswith("float16") or path.stem.endswith("bfloat16"):
            path.unlink()
    shown = python(HERE / "checks.py", tmp_path)
    assert sorted(shown.splitlines()) == ["0 failed on Stand-in", "ok     net_mini_float16", "ok     softmax_float16"]


def test_the_benchmark_times_everyone_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    net = netdsl.load(MINI)
    load_module(BENCHMARKS / "gpu_modules.py").write(tmp_path, {"Mini": net}, ["float16"])
    command = (BENCHMARKS / "gpu.py", tmp_path, "--out", tmp_path / "results", "--rounds", "1", "--batch", "1")
    shown = python(*command)
    assert shown.startswith("Mini         float16   batch 1")
    assert "x as fast as" in shown
    assert "of the limit" in shown
    assert " kernels  error " in shown
    (path,) = (tmp_path / "results").iterdir()
    about, first, row = map(json.loads, path.read_text().splitlines())
    assert first["peers"] == "graphs"
    assert list(first["contenders"]) == ["netdsl", "cudnn fused, graph", "folded NHWC, graph"]
    assert about["device"] == "Stand-in"
    assert (row["net"], row["dtype"], row["batch"]) == ("Mini", "float16", 1)
    found = row["contenders"]
    assert list(found) == ["netdsl", "cudnn fused, graph", "folded NHWC, graph", "compile max-autotune"]
    for who, figures in found.items():
        assert set(figures) == {"prepare_s", "error", "kernels", "ms", "cold_ms"}, (who, figures)
        assert figures["error"] <= 1e-2
    assert found["netdsl"]["kernels"] == len(compile_graph(net.graph, DType.FLOAT16).plan.split("  launch ")) - 1
    assert python(*command) == ""
    python(BENCHMARKS / "gpu_plot.py", path)
    drawn = path.with_suffix(".svg").read_text()
    assert f"{found['netdsl']['ms'][1]:.3f} ms</text>" in drawn
    assert "x ours)" in drawn
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    # The limit is computed and the bars are measured: a line, not a bar.
    assert drawn.count("stroke-width") == 1


def test_a_module_benches_profiles_and_tunes_itself(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    builder = GraphBuilder("Tiny")
    (y,) = builder.node(Relu(), (builder.input("x", TensorType((16,))),), name="relu")
    (y,) = builder.node(Fc(16), (y,), name="fc")
    graph = builder.result("y", y).finish()
    compile_graph(graph, DType.FLOAT16).write(tmp_path / "tiny.py")
    save_file(initialise(graph, 0), tmp_path / "tiny.safetensors")
    code = f"""
import functools, sys
sys.path.insert(0, {str(tmp_path)!r})
import tiny
model = tiny.load({str(tmp_path / "tiny.safetensors")!r})
assert model.target == 90
inputs = [x.to(model.device) for x in tiny.random_inputs(3)]
clock = functools.partial(tiny.stopwatch, repeats=1, replays=1)
tiny.bench(model, inputs, replays=2)
tiny.profile(model, inputs, clock)
tiny.tune_file(model, inputs, {str(tmp_path / "tiny.tuned.json")!r}, clock=clock)
one, two = model.capture(1), model.capture(3)
wanted = model(*inputs)
for _ in range(2):
    assert two(*inputs).equal(wanted)
    assert one(inputs[0][:1]).equal(model(inputs[0][:1]))

# Threads that share one captured pass get each the results of their own inputs.
import threading, torch
found = {{}}
def work(index):
    with torch.cuda.stream(torch.cuda.Stream()):
        for _ in range(20):
            found[index] = two(inputs[0] + index)
threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
for index in range(3):
    assert found[index].equal(model(inputs[0] + index)), index
"""
    shown = python("-c", code)
    assert shown.startswith("batch 3: ")
    assert "gemm_tma, fc\n" in shown
    tuned = json.loads((tmp_path / "tiny.tuned.json").read_text())
    assert (tuned["target"], tuned["device"]) == (90, "Stand-in")
    assert all(item["before_us"] >= item["after_us"] > 0 for item in tuned["tiles"])
    assert netdsl.Network(graph).compile("triton", "float16", tuned=tmp_path / "tiny.tuned.json").source
