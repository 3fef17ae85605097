"""Graphs: the order, the prelude, rows, several results, fused bodies, and the type that everything is computed in."""

import numpy as np
import pytest

from netdsl.ir.build import GraphBuilder
from netdsl.ir.fused import Fused
from netdsl.ops.activation import Relu
from netdsl.ops.base import ZEROS
from netdsl.ops.conv import Conv
from netdsl.ops.elementwise import Add, Mul, Scale
from netdsl.ops.linear import Fc
from netdsl.ops.norm import BatchNormScale
from netdsl.ops.pool import Pool, Unpool
from netdsl.ops.reduce import Sum
from netdsl.reference.interpret import evaluate, interpret
from netdsl.tensor import TensorType

RANDOM = np.random.default_rng(2)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape)


def test_the_prelude_runs_on_weights_alone() -> None:
    builder = GraphBuilder("folded")
    x = builder.input("x", TensorType((3, 5, 5)))
    gamma, variance = (builder.parameter(name, (3,), ZEROS) for name in ("gamma", "variance"))
    (factor,) = builder.node(BatchNormScale(0.5), (gamma, variance), name="factor", prelude=True)
    (total,) = builder.node(Sum(), (factor,), name="total", prelude=True)
    (y,) = builder.node(Mul(), (x, total), name="y")
    graph = builder.result("y", y).result("factor", factor).finish()
    weights = {"gamma": normal(3), "variance": RANDOM.uniform(1, 2, 3)}
    image = normal(2, 3, 5, 5)
    result, kept = interpret(graph, {"x": image}, weights, np.float64)
    wanted = weights["gamma"] / np.sqrt(weights["variance"] + 0.5)
    assert kept.shape == (3,)  # no rows: it does not depend on the sample
    np.testing.assert_allclose(kept, wanted, rtol=1e-15)
    np.testing.assert_allclose(result, image * wanted.sum(), rtol=1e-14)


def test_results_may_be_inputs_and_used_and_named_twice() -> None:
    builder = GraphBuilder("wires")
    x = builder.input("x", TensorType((4,)))
    (y,) = builder.node(Scale(2.0), (x,), name="y")
    (z,) = builder.node(Add(), (y, x), name="z")
    builder.node(Relu(), (z,), name="unused")
    graph = builder.result("x", x).result("y", y).result("again", y).result("z", z).finish()
    given = normal(3, 4).astype(np.float32)
    results = interpret(graph, {"x": given}, {})
    for result, factor in zip(results, (1, 2, 2, 3), strict=True):
        np.testing.assert_array_equal(result, factor * given)


def test_several_results_and_whole_numbers() -> None:
    builder = GraphBuilder("places")
    x = builder.input("x", TensorType((2, 6, 4)))
    largest, places = builder.node(Pool("max", (2,), indices=True), (x,), name="pool")
    (y,) = builder.node(Unpool((2,)), (largest, places), name="unpool")
    graph = builder.result("y", y).result("places", places).finish()
    given = normal(3, 2, 6, 4).astype(np.float32)
    y_, places_ = interpret(graph, {"x": given}, {})
    assert places_.dtype == np.int64
    assert np.count_nonzero(y_) == 3 * 2 * 6
    np.testing.assert_array_equal(y_[y_ != 0], given[y_ != 0])


def test_rows_of_a_sample() -> None:
    """What has three rows for a sample has 3 N rows, each of them on its own."""
    builder = GraphBuilder("rows")
    x = builder.input("x", TensorType((5,), batch=3))
    (y,) = builder.node(Fc(2), (x,), name="fc")
    graph = builder.result("y", y).finish()
    weights = {"fc.weight": normal(2, 5), "fc.bias": normal(2)}
    rows = normal(6, 5)
    (result,) = interpret(graph, {"x": rows}, weights, np.float64)
    np.testing.assert_allclose(result, rows @ weights["fc.weight"].T + weights["fc.bias"], rtol=1e-13)


def test_a_shared_layer_uses_one_set_of_weights() -> None:
    builder = GraphBuilder("shared")
    x = builder.input("x", TensorType((3,)))
    (first,) = builder.node(Fc(3), (x,), name="fc")
    (second,) = builder.node(Fc(3), (first,), name="fc", shared="fc")
    graph = builder.result("y", second).finish()
    weights = {"fc.weight": normal(3, 3), "fc.bias": normal(3)}
    given = normal(2, 3)
    (result,) = interpret(graph, {"x": given}, weights, np.float64)
    once = given @ weights["fc.weight"].T + weights["fc.bias"]
    np.testing.assert_allclose(result, once @ weights["fc.weight"].T + weights["fc.bias"], rtol=1e-12)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_fused_operator_is_its_body(rows: int) -> None:
    (sample,) = Fused.samples()
    x, shortcut = (normal(rows, *type_.shape) for type_ in sample.inputs)
    weights = [normal(*weight.shape) for weight in sample.op.weights(sample.inputs)]
    (result,) = evaluate(sample.op, [x, shortcut], weights, sample.inputs)
    convolution = Conv(4, (3,), padding=(1,)).resolve(sample.inputs[:1])
    (inner,) = evaluate(convolution, [x], weights, sample.inputs[:1])
    np.testing.assert_array_equal(result, inner + shortcut)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_is_computed_in_one_type(dtype: type) -> None:
    builder = GraphBuilder("precise")
    x = builder.input("x", TensorType((1,)))
    (y,) = builder.node(Scale(1 / 3), (x,), name="third")
    graph = builder.result("y", y).finish()
    (result,) = interpret(graph, {"x": np.ones((1, 1), np.float16)}, {}, dtype)
    assert result.dtype == dtype
    assert result == dtype(1) * dtype(1 / 3)


def test_infinities_and_nan_go_their_ieee_way_without_warnings() -> None:
    builder = GraphBuilder("extreme")
    x = builder.input("x", TensorType((4,)))
    (y,) = builder.node(Mul(), (x, x), name="square")
    graph = builder.result("y", y).finish()
    (result,) = interpret(graph, {"x": np.array([[1e30, -np.inf, np.nan, 1e-30]], np.float32)}, {})
    np.testing.assert_array_equal(result, np.array([[np.inf, np.inf, np.nan, 0]], np.float32))
