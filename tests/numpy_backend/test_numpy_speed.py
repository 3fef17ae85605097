"""What makes a module fast does not show in its results: Winograd's tiles, threads, memory kept between calls."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from generated import compare, difference, load_model, load_source, random_inputs, random_weights
from small_nets import NETS, make, single

import netdsl
from netdsl.codegen.numpy.backend import compile_graph
from netdsl.codegen.numpy.lowerings import conv
from netdsl.ir.graph import Graph
from netdsl.ops import Conv
from netdsl.reference.interpret import interpret
from netdsl.tensor import DType, TensorType

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("extents", [(28, 28), (31, 30), (7, 9), (3, 4)])
@pytest.mark.parametrize("padding", [(0,), (1,), (2, 0, 1, 3)])
@pytest.mark.parametrize("size", [2, 4])
def test_winograd_agrees_at_every_border(
    size: int, padding: tuple[int, ...], extents: tuple[int, int], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conv, "_seconds", lambda tile, *_: float(tile != size))
    monkeypatch.setattr(conv, "WINOGRAD_BYTES", 60_000)
    graph = single(Conv(24, (3,), padding=padding), (TensorType((5, *extents)),))
    weights = random_weights(graph, DType.FLOAT64)
    source = compile_graph(graph, DType.FLOAT64).source
    assert f"size={size}" in source
    module = load_source(source)
    module.LEAST_SHARED = 0
    model = module.Model(weights, threads)
    for n in (1, 2, 5):
        inputs = random_inputs(graph, DType.FLOAT64, n)
        (wanted,) = interpret(graph, inputs, weights, np.float64)
        assert difference(model(*inputs.values()), wanted) <= 1e-13


@pytest.mark.parametrize("size", [2, 4])
def test_winograd_costs_little_accuracy(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conv, "_seconds", lambda tile, *_: float(tile != size))
    compare(single(Conv(64, (3,), padding=(1,)), (TensorType((64, 28, 28)),)), DType.FLOAT32, 1, factor=10)


@pytest.mark.parametrize("name", sorted(NETS))
def test_threads_change_nothing(name: str) -> None:
    graph = make(name)
    weights = random_weights(graph, DType.FLOAT64)
    module = load_source(compile_graph(graph, DType.FLOAT64).source)
    module.LEAST_SHARED = 0
    alone, three = module.Model(weights, 1), module.Model(weights, 3)
    for n in (1, 2, 5):
        inputs = random_inputs(graph, DType.FLOAT64, n).values()
        found, wanted = three(*inputs), alone(*inputs)
        pairs = zip(found, wanted, strict=True) if isinstance(found, tuple) else [(found, wanted)]
        assert max(difference(*pair) for pair in pairs) <= 1e-13


def test_an_error_in_a_thread_reaches_the_caller_and_the_team_lives_on() -> None:
    module = load_source(compile_graph(make("residual")).source)
    team = module.Team(3)

    def fail(member: int) -> None:
        if member == 2:
            raise KeyError("found")

    for _ in range(2):
        with pytest.raises(KeyError, match="found"):
            team.run(fail)
    seen: list[int] = []
    team.run(seen.append)
    assert sorted(seen) == [0, 1, 2]


def test_the_answer_is_the_same_to_the_bit_whether_helpers_are_free() -> None:
    graph = make("residual")
    module = load_source(compile_graph(graph).source)
    module.LEAST_SHARED = 0
    model = module.Model(random_weights(graph, DType.FLOAT32), 3)
    (x,) = random_inputs(graph, DType.FLOAT32, 1).values()
    with_helpers = model(x)
    assert any(len(stage[2]) for stage in model._idle[0]._stages)
    assert model._team.take()
    np.testing.assert_array_equal(model(x), with_helpers)
    model._team.leave()


@pytest.mark.parametrize("name", sorted(NETS))
def test_threads_meet_before_one_touches_what_another_works_on(name: str) -> None:
    graph = make(name)
    module = load_source(compile_graph(graph).source)
    module.LEAST_SHARED = 0
    model = module.Model(random_weights(graph, DType.FLOAT32), 3)
    inputs = random_inputs(graph, DType.FLOAT32, 1).values()
    wanted = model(*inputs)
    (space,) = model._idle
    for late in range(3):
        for stage in space._stages:
            stage[late].insert(0, lambda: time.sleep(1e-3))
        found = model(*inputs)
        for stage in space._stages:
            del stage[late][0]
        for pair in zip(found, wanted, strict=True) if isinstance(found, tuple) else [(found, wanted)]:
            np.testing.assert_array_equal(*pair)


def test_rows_go_through_several_layers_in_one_thread() -> None:
    net = netdsl.load(EXAMPLES / "mobilenet2.net")
    module = load_source(net.compile().source)
    space = module.Workspace(module.prepare(random_weights(net.graph, DType.FLOAT32)), 1, 2)
    assert len(space._stages) <= 43
    assert sum(len(stage[0]) > 1 < len(stage[1]) for stage in space._stages) >= 40


def test_memory_of_an_array_is_known_whatever_its_steps() -> None:
    module = load_source(compile_graph(make("residual")).source)
    x = np.zeros((4, 6), np.float32)
    (whole,) = module.pieces((x,))
    assert whole[1] - whole[0] == x.nbytes
    for same in (x[::-1], x[:, ::-1], x.T, x[::-1, ::-1].T):
        assert list(module.pieces((7, (same, "axis")))) == [whole]
    assert module.overlap([whole], module.pieces((x[3:, 5:],)))
    assert not module.overlap(module.pieces((x[:2],)), module.pieces((x[2:], x[:0])))


def test_whoever_is_interrupted_waits_for_the_others() -> None:
    team = load_source(compile_graph(make("residual")).source).Team(2)
    team.run(lambda _: None)
    outcomes, done = team._done, []

    class Interrupted:
        times = 0

        def get(self) -> object:
            self.times += 1
            if self.times == 1:
                raise KeyboardInterrupt
            return outcomes.get()

    def work(member: int) -> None:
        if member:
            time.sleep(0.1)
            done.append(member)

    team._done = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        team.run(work)
    assert done == [1]
    assert outcomes.empty()


def test_memory_that_is_not_there_leaves_the_team_free(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = make("residual")
    module = load_source(compile_graph(graph).source)
    model = module.Model(random_weights(graph, DType.FLOAT32), 2)
    (x,) = random_inputs(graph, DType.FLOAT32, 1).values()

    def refuse(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(module, "Workspace", refuse)
        with pytest.raises(MemoryError):
            model(x)
    assert model._team.take()
    model._team.leave()


@pytest.mark.parametrize("member", [0, 1])
def test_a_step_that_fails_ends_the_call_and_not_the_model(member: int) -> None:
    graph = make("residual")
    module = load_source(compile_graph(graph).source)
    module.LEAST_SHARED = 0
    model = module.Model(random_weights(graph, DType.FLOAT32), 2)
    (x,) = random_inputs(graph, DType.FLOAT32, 1).values()
    wanted = model(x)
    (space,) = model._idle
    stage = next(stage for stage in space._stages if stage[1])
    stage[member].append(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        model(x)
    stage[member].pop()
    np.testing.assert_array_equal(model(x), wanted)


def test_threads_end_with_their_model() -> None:
    graph = make("residual")
    model = load_source(compile_graph(graph).source).Model(random_weights(graph, DType.FLOAT32), 3)
    before = set(threading.enumerate())
    model(*random_inputs(graph, DType.FLOAT32, 4).values())
    helpers = set(threading.enumerate()) - before
    assert len(helpers) == 2
    del model
    gc.collect()
    for thread in helpers:
        thread.join(60)
        assert not thread.is_alive()


def test_a_call_leaves_the_threads_of_the_blas_as_they_were() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def counts() -> list[int]:
        return [item["num_threads"] for item in threadpoolctl.threadpool_info() if item["user_api"] == "blas"]

    graph = make("residual")
    model = load_model(compile_graph(graph), random_weights(graph, DType.FLOAT32))
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = counts()
        callers = [
            threading.Thread(target=model, args=tuple(random_inputs(graph, DType.FLOAT32, n).values())) for n in (1, 2)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert counts() == before


def test_a_script_keeps_the_blas_to_one_thread(tmp_path: Path) -> None:
    graph = make("residual")
    source = compile_graph(graph).source
    (tmp_path / "net.py").write_text(source)
    script = """
import os, runpy, sys
sys.argv = ["net.py", "--help"]
try:
    runpy.run_path("net.py", run_name={!r})
except SystemExit:
    pass
print(os.environ.get("OPENBLAS_NUM_THREADS"))
"""
    plain = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    for name, wanted in (("__main__", "1"), ("net", "None")):
        done = subprocess.run(
            [sys.executable, "-c", script.format(name)], cwd=tmp_path, env=plain, capture_output=True, text=True
        )
        assert done.stdout.splitlines()[-1] == wanted, done.stderr


EVERYTHING = """net Everything {
  input image: 8x48x48
  conv 32 k3 p1 -> groupnorm groups=4 -> silu
  conv 32 k3 p1 -> lrn -> hardswish
  conv 32 k1 -> gelu
  conv 32 k3 s2 p1 -> elu
  conv 32 k3 p1 g32 -> prelu -> leakyrelu
  conv 32 k3 p1 g4 -> selu -> pool avg k2
  upsample s2 -> upsample bilinear s2
  upconv 32 k2 s2 -> pool max k3 s2 p1 -> pool avg k2
  tokens
  skip { layernorm -> attention heads=4 }
  skip { layernorm -> fc 64 -> gelu tanh -> fc 32 }
  softmax -> take 0 -> fc 5 -> logsoftmax
}"""
"""Activations, norms, attention, resampling: whatever wants memory besides its result."""


SEQUENCES = """net Sequences {
  input words: 40x96
  lstm 256 -> gru 256 reverse -> gelu
  topk 20 axis=0 as best, at
  best -> fc 48 -> tanh
}"""


def allocated(graph: Graph, dtype: DType = DType.FLOAT32) -> int:
    """Bytes that a third call holds at its peak, besides its result."""
    model = load_source(compile_graph(graph, dtype).source).Model(random_weights(graph, dtype), 1)
    (x,) = random_inputs(graph, dtype, 4).values()
    kept = model(x)
    tracemalloc.start()
    try:
        model(x)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        result = model(x)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(result, kept)
    return int(peak - before - result.nbytes)


# NumPy's own loops take up to 8192 elements an operand where they need buffers, whatever the arrays' extents.
LEAST = 3 * 8192 * 4 + 16384


@pytest.mark.parametrize(
    ("file", "net"), [("resnet", "ResNet18"), ("mobilenet2", "MobileNetV2"), ("densenet", "DenseNet121")]
)
def test_a_call_allocates_its_result_and_no_other_array(file: str, net: str) -> None:
    graph = netdsl.load(EXAMPLES / f"{file}.net", net=net, shape={"image": (3, 96, 96)}).graph
    assert allocated(graph) <= LEAST


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.FLOAT64])
@pytest.mark.parametrize(("text", "least"), [(EVERYTHING, 2 * LEAST), (SEQUENCES, 8192 * 8 + 16384)])
def test_kernels_that_want_more_memory_keep_it(text: str, least: int, dtype: DType, tmp_path: Path) -> None:
    (tmp_path / "net.net").write_text(text)
    assert allocated(netdsl.load(tmp_path / "net.net").graph, dtype) <= least
