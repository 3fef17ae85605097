"""Every operator, every sample: the kernels under Triton's interpreter against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from interpreted import Interpreter, compare, random_inputs, random_weights
from small_nets import single

from netdsl.codegen.triton.backend import compile_graph
from netdsl.ir.build import GraphBuilder
from netdsl.ops import ALL, Div, Embed, Log, LogSoftmax, Power, Relayout, Sqrt, Transpose
from netdsl.ops.base import Op, Sample
from netdsl.ops.choice import TopK
from netdsl.reference.interpret import interpret
from netdsl.tensor import DType, TensorType

pytestmark = pytest.mark.triton

SAMPLES = [pytest.param(op, sample, id=f"{op.word}-{sample.name}") for op in ALL for sample in op.samples()]
POSITIVE: tuple[type[Op], ...] = (Div, Log, Power, Sqrt)
"""Operators whose operands are kept away from 0, where results have no size to compare with."""


@pytest.mark.parametrize(("op", "sample"), SAMPLES)
def test_float32_agrees_with_the_reference(interpreter: Interpreter, op: type[Op], sample: Sample) -> None:
    compare(interpreter, single(sample.op, sample.inputs), DType.FLOAT32, 3, positive=op in POSITIVE)


@pytest.mark.parametrize(("op", "sample"), SAMPLES)
def test_float16_agrees_with_the_reference(interpreter: Interpreter, op: type[Op], sample: Sample) -> None:
    compare(interpreter, single(sample.op, sample.inputs), DType.FLOAT16, 2, positive=op in POSITIVE)


@pytest.mark.parametrize(("op", "sample"), [param for param in SAMPLES if "tiles" in str(param.id)])
def test_default_tiles_agree_with_the_reference(interpreter: Interpreter, op: type[Op], sample: Sample) -> None:
    compare(interpreter, single(sample.op, sample.inputs), DType.FLOAT32, 2, positive=op in POSITIVE, small=False)


def test_the_samples_reach_every_operator() -> None:
    reached: set[Any] = {param.values[0] for param in SAMPLES}
    assert reached == set(ALL)
    assert {Relayout, LogSoftmax} <= reached


def test_whole_numbers_and_truth_values_are_checked_and_moved(interpreter: Interpreter) -> None:
    builder = GraphBuilder("Words")
    words = builder.input("words", TensorType((4,), DType.INT64))
    mask = builder.input("mask", TensorType((2, 3), DType.BOOL))
    (rows,) = builder.node(Embed(5, 3), (words,), name="embed")
    (turned,) = builder.node(Transpose(), (mask,), name="transpose")
    graph = builder.result("rows", rows).result("turned", turned).result("words", words).finish()
    weights, inputs = random_weights(graph, DType.FLOAT32), random_inputs(graph, DType.FLOAT32, 3)
    source = compile_graph(graph, DType.FLOAT32).source
    found = interpreter.run(source, inputs, weights)
    for result, wanted in zip(found, interpret(graph, inputs, weights), strict=True):
        assert result.dtype == wanted.dtype
        assert np.array_equal(result, wanted)
    for change, said in ((1, "indices from 1 to"), (-1, "indices from -1 to")):
        inputs["words"] = np.array([[0, 1, 4, 4]]) + change
        inputs["mask"] = inputs["mask"][:1]
        with pytest.raises(AssertionError, match=f"words holds {said} .*, expected 0 to 4"):
            interpreter.run(source, inputs, weights)


LINES = {
    "edges": ((9,), 5, 0),
    "all": ((17,), 17, 0),
    "one": ((1,), 1, 0),
    "blocks": ((300,), 70, 0),
    "rows": ((5, 33), 3, 1),
    "planes": ((33, 3, 5), 1, 0),
}


@pytest.mark.parametrize(("shape", "count", "axis"), LINES.values(), ids=LINES)
def test_the_largest_at_the_edges(interpreter: Interpreter, shape: tuple[int, ...], count: int, axis: int) -> None:
    """NaN before infinity, of equal ones the first, and no order between the zeros, whose signs stay."""
    builder = GraphBuilder("Best")
    best, at = builder.node(TopK(count, axis), (builder.input("x", TensorType(shape)),), name="topk")
    graph = builder.result("best", best).result("at", at).finish()
    edges = np.array([1, np.inf, np.nan, -np.inf, -0.0, np.nan, 0, np.inf, 2, 2, 0, -0.0, -1, -np.inf], np.float32)
    inputs = {"x": np.random.default_rng(0).choice(edges, (2, *shape))}
    found = interpreter.run(compile_graph(graph, DType.FLOAT32).source, inputs, {})
    for result, wanted in zip(found, interpret(graph, inputs, {}), strict=True):
        np.testing.assert_array_equal(result, wanted)
        np.testing.assert_array_equal(np.signbit(result)[wanted == 0], np.signbit(wanted)[wanted == 0])
