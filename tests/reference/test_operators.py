"""Every operator of the reference against PyTorch, on its own samples and on corners that they leave out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from corners import CORNERS
from torch_oracles import ORACLES, torch

from netdsl.ops import ALL, Attention, Embed
from netdsl.ops.base import Op, Sample, Types
from netdsl.ops.choice import Gather, Nms, TopK
from netdsl.ops.pool import Pool
from netdsl.ops.regions import RegionOp
from netdsl.reference.interpret import REFERENCE, evaluate
from netdsl.tensor import DType, TensorType

TOLERANCE = {np.float64: 1e-13, np.float32: 2e-6}
"""Of max |y - oracle| / max |oracle|. Both sides round each of K additions of a sum of products once, in another order:
at most K * 2^-53 or K * 2^-24 of the sum of magnitudes. K is at most some hundreds here and errors partly cancel, so
that a few hundred (a few tens) units in the last place are allowed: any wrong index or constant is far above."""

CASES = [(op, sample) for op in ALL for sample in (*op.samples(), *CORNERS.get(op, ()))]


def case_name(case: Any) -> str:
    return case.__name__ if isinstance(case, type) else case.name


def operands_of(op: Op, types: Types, rows: int, dtype: type, random: np.random.Generator) -> list[np.ndarray]:
    """Normal numbers, but where an operator's domain is smaller; whole numbers are distinct places of a plane."""
    arrays = []
    for index, type_ in enumerate(types):
        shape = (rows * type_.batch, *type_.shape) if type_.batch else type_.shape
        if isinstance(op, Embed):
            arrays.append(random.integers(0, op.vocab, shape))
        elif type_.dtype is DType.BOOL:
            arrays.append(random.random(shape) < 0.4)
        elif isinstance(op, Gather) and index == 1:
            arrays.append(random.integers(-1, types[0].shape[0], shape))
        elif type_.dtype is DType.INT64:
            places = random.permuted(np.tile(np.arange(np.prod(op.to)), (*shape[:2], 1)), axis=2)
            arrays.append(places[..., : np.prod(shape[2:])].reshape(shape))
        elif (isinstance(op, RegionOp) and index == 1) or (isinstance(op, Nms) and index == 0):
            corner = random.uniform(-0.5, 2, (*shape[:-1], 2))
            extent = random.uniform(-0.2, 1.5, (*shape[:-1], 2))
            arrays.append(np.concatenate([corner, corner + extent], -1).astype(dtype))
        elif op.word in ("log", "sqrt", "bnscale", "pow") or (op.word == "div" and index == 1):
            arrays.append(random.uniform(0.5, 2, shape).astype(dtype))
        else:
            arrays.append((2 * random.standard_normal(shape)).astype(dtype))
    return arrays


def weights_of(op: Op, types: Types, dtype: type, random: np.random.Generator) -> list[np.ndarray]:
    weights = op.weights(types)
    if isinstance(op, Attention):  # its scores are exponents, which must not grow
        return [(random.standard_normal(w.shape) / w.shape[-1] ** 0.5).astype(dtype) for w in weights]
    return [
        (random.uniform(0.5, 2, w.shape) if w.name == "running_var" else random.standard_normal(w.shape)).astype(dtype)
        for w in weights
    ]


def evaluated(sample: Sample, rows: int, dtype: type) -> tuple[Op, list[np.ndarray], list[np.ndarray], Any]:
    op = sample.op.resolve(sample.inputs)
    random = np.random.default_rng(rows)
    operands = operands_of(op, sample.inputs, rows, dtype, random)
    weights = weights_of(op, sample.inputs, dtype, random)
    return op, operands, weights, evaluate(op, operands, weights, sample.inputs)


def test_every_operator_has_a_reference_and_an_oracle() -> None:
    assert set(REFERENCE) == set(ALL)
    assert set(ORACLES) == set(ALL)


def test_every_attribute_is_reached() -> None:
    """Over an operator's samples and corners each attribute takes a value other than its default."""
    for op in ALL:
        cases = [sample.op for kind, sample in CASES if kind is op]
        for attribute in op.schema():
            values = {getattr(case, attribute.name) for case in cases}
            assert values - {attribute.default}, f"{op.__name__}.{attribute.name} is only ever {attribute.default}"
            for choice in attribute.choices:
                assert choice in values, f"{op.__name__}.{attribute.name} is never {choice}"


@pytest.mark.parametrize(("kind", "sample"), CASES, ids=case_name)
def test_results_have_the_types_that_the_shape_rule_says(kind: type[Op], sample: Sample) -> None:
    for rows in (1, 3):
        op, _, _, results = evaluated(sample, rows, np.float32)
        types = op.infer(sample.inputs)
        assert len(results) == len(types)
        for array, type_ in zip(results, types, strict=True):
            assert array.shape == ((rows * type_.batch, *type_.shape) if type_.batch else type_.shape)
            exact = not sample.inputs  # no operand says in what it computes
            assert array.dtype == (np.float64 if exact else np.float32 if type_.dtype.is_float else np.int64)


@pytest.mark.torch
@pytest.mark.skipif(torch is None, reason="PyTorch is the oracle, and it is not installed")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("kind", "sample"), CASES, ids=case_name)
def test_agrees_with_pytorch(kind: type[Op], sample: Sample, dtype: type) -> None:
    for rows in (1, 3):
        op, operands, weights, results = evaluated(sample, rows, dtype)
        tensors = [
            torch.from_numpy(array if type_.batch else array[None])
            for array, type_ in zip(operands, sample.inputs, strict=True)
        ]
        expected = ORACLES[type(op)](op, *tensors, *map(torch.from_numpy, weights))
        expected = expected if isinstance(expected, tuple) else (expected,)
        for result, other, type_ in zip(results, expected, op.infer(sample.inputs), strict=True):
            oracle = other.numpy() if type_.batch else other.numpy()[0]
            assert result.dtype == oracle.dtype
            if result.dtype == np.int64:
                np.testing.assert_array_equal(result, oracle)
            else:
                assert np.isfinite(oracle).all()
                assert abs(result - oracle).max() <= TOLERANCE[dtype] * abs(oracle).max()


EXTREMES = (-1e30, -1000, -110, -80, -20.5, -6, -3, -1e-6, -0.0, 0.0, 1e-6, 3, 6, 20, 20.5, 80, 1000)
"""Where a formula may overflow or change its branch; exp(1000) is infinite in both types, here as in PyTorch."""


@pytest.mark.torch
@pytest.mark.skipif(torch is None, reason="PyTorch is the oracle, and it is not installed")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", [op for op in ALL if op.__module__.endswith(".activation")], ids=case_name)
def test_extreme_values_agree_with_pytorch(kind: type[Op], dtype: type) -> None:
    """Element by element, since the largest would hide the others; formulas such as 1 + erf(x) round at 1, though."""
    x = np.array([EXTREMES], dtype)
    types = (TensorType((len(EXTREMES),)),)
    op = kind.samples()[0].op.resolve(types)
    weights = [np.full(weight.shape, 0.25, dtype) for weight in op.weights(types)]
    (result,) = evaluate(op, [x], weights, types)
    oracle = ORACLES[kind](op, torch.from_numpy(x), *map(torch.from_numpy, weights)).numpy()
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(result, oracle, rtol=100 * eps, atol=8 * eps)


@pytest.mark.torch
@pytest.mark.skipif(torch is None, reason="PyTorch is the oracle, and it is not installed")
@pytest.mark.parametrize("n", [2, 3])
def test_places_of_windows_with_nan_are_those_of_pytorch(n: int) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 9))
    x[np.random.default_rng(1).random(x.shape) < 0.4] = np.nan
    types = (TensorType((3, 8, 9)),)
    found, places = evaluate(Pool("max", (n,), (2,), (1,), indices=True).resolve(types), [x], [], types)
    wanted, at = torch.nn.functional.max_pool2d(torch.from_numpy(x), n, 2, 1, return_indices=True)
    np.testing.assert_array_equal(found, wanted.numpy())
    np.testing.assert_array_equal(places, at.numpy())


@pytest.mark.torch
@pytest.mark.skipif(torch is None, reason="PyTorch is the oracle, and it is not installed")
def test_nan_is_above_infinity_as_in_pytorch() -> None:
    x = np.array([[1, np.inf, np.nan, -np.inf, 0, 2]])
    types = (TensorType((6,)),)
    found, places = evaluate(TopK(5).resolve(types), [x], [], types)
    wanted, at = torch.topk(torch.from_numpy(x), 5)
    np.testing.assert_array_equal(found, wanted.numpy())
    np.testing.assert_array_equal(places, at.numpy())
