"""Attention as one kernel: no scores in memory, nothing read beyond the diagonal, tensor cores where there are any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from interpreted import Interpreter, SmallTiling, random_weights

from netdsl.analysis.summary import summarise
from netdsl.codegen.triton import aot
from netdsl.codegen.triton.backend import compile_graph
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph
from netdsl.ops import Attention
from netdsl.reference.interpret import interpret
from netdsl.tensor import DType, TensorType

pytestmark = pytest.mark.triton


def self_attention(length: int, width: int, heads: int, causal: bool = False, masked: bool = False) -> Graph:
    builder = GraphBuilder("Heads")
    operands = [builder.input("x", TensorType((length, width)))]
    operands += [builder.input("hidden", TensorType((length,), DType.BOOL))] if masked else []
    (y,) = builder.node(Attention(heads, causal), operands, name="attention")
    return builder.result("y", y).finish()


@pytest.mark.parametrize("length", [1024, 4096])
def test_no_buffer_holds_the_scores(length: int) -> None:
    """All that a pass keeps grows with the length, not with its square."""
    module = compile_graph(self_attention(length, 64, 1), DType.FLOAT16).source
    arena = int(module.partition("ARENA = ")[2].split()[0])
    assert arena < 2 * length * length
    assert arena == length * 2 * (3 * 64 + 64)
    assert summarise(self_attention(length, 64, 1)).totals.macs == 4 * length * 64**2 + 2 * length**2 * 64


def test_causal_attention_reads_nothing_of_the_blocks_beyond_a_tile(interpreter: Interpreter) -> None:
    """NaN there would reach what multiplies it by zero."""
    graph = self_attention(33, 8, 2, causal=True)
    weights = random_weights(graph, DType.FLOAT32)
    x = np.random.default_rng(0).standard_normal((1, 33, 8)).astype(np.float32)
    (wanted,) = interpret(graph, {"x": x}, weights)
    x[:, 16:] = np.nan
    (found,) = interpreter.run(compile_graph(graph, tiling=SmallTiling()).source, {"x": x}, weights)
    assert abs(found[:, :16] - wanted[:, :16]).max() < 1e-5
    assert np.isnan(found[:, 16:]).all()


def test_a_query_that_sees_nothing_gets_the_bias_alone(interpreter: Interpreter) -> None:
    graph = self_attention(5, 8, 2, masked=True)
    weights = random_weights(graph, DType.FLOAT32)
    given = {"x": np.ones((1, 5, 8), np.float32), "hidden": np.ones((1, 5), bool)}
    (found,) = interpreter.run(compile_graph(graph).source, given, weights)
    assert np.array_equal(found[0], np.tile(weights["attention.out_proj.bias"], (5, 1)))


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "width"), [(DType.FLOAT16, 64), (DType.FLOAT16, 256), (DType.TF32, 32)])
def test_it_compiles_without_spills_and_uses_tensor_cores(dtype: DType, width: int, tmp_path: Path) -> None:
    path = tmp_path / "heads.py"
    path.write_text(compile_graph(self_attention(197, width, 1, causal=True, masked=True), dtype).source)
    launched = [item for item, _ in aot.distinct(aot.load_module(path), [1]) if "attention" in item.kernel.__name__]
    assert len(launched) == 1
    for arch in (80, 89, 90):
        compiled = aot.compile_launch(launched[0], arch)
        assert compiled.stack == 0
        assert compiled.shared <= aot.SHARED_LIMIT[arch]
        if arch == 90 and width <= 128:
            assert compiled.wgmma > 0
        else:
            assert compiled.mma > 0
