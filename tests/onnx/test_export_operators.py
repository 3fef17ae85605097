"""Every operator on every sample: the ONNX model in onnxruntime against the reference interpreter."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx
import pytest
from exported import TOLERANCE, checked, error, run
from generated import random_inputs, random_weights
from small_nets import single

from netdsl.ir.build import GraphBuilder
from netdsl.ir.fused import Fused
from netdsl.onnx.write.operators import UNSUPPORTED
from netdsl.ops import ALL
from netdsl.ops.base import Op, Sample, feature_map, vector
from netdsl.ops.choice import Nms
from netdsl.ops.conv import UpConv
from netdsl.ops.elementwise import Add
from netdsl.ops.norm import LRN, GroupNorm
from netdsl.ops.pool import Pool
from netdsl.tensor import DType, TensorType

SAMPLES = [
    pytest.param(sample, id=f"{op.word}-{sample.name}")
    for op in ALL
    if op not in UNSUPPORTED
    for sample in op.samples()
]


def sample_error(sample: Sample, n: int) -> float:
    graph = single(sample.op, sample.inputs)
    return error(graph, random_weights(graph, DType.FLOAT32), random_inputs(graph, DType.FLOAT32, n))


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("sample", SAMPLES)
def test_model_agrees_with_the_reference(sample: Sample, n: int) -> None:
    assert sample_error(sample, n) <= TOLERANCE


CEILINGS = [
    pytest.param(Pool(function, *window, ceil=True, count_pad=counted), extents, id=f"{function}-{counted}-{number}")
    for function, counted in (("max", True), ("min", True), ("avg", True), ("avg", False))
    for number, (extents, window) in enumerate(
        product(
            ((5, 6), (7, 8), (5, 5), (4, 6)),
            (
                ((2, 3), (2, 2), (1, 0)),
                ((2, 3), (2, 2), (1, 1)),
                ((3, 3), (2, 2), (1, 1)),
                ((2, 2), (2, 2), (1, 1)),
                ((2, 2), (3, 2), (0, 0)),
            ),
        )
    )
]
"""Last windows that hang over the end, that would start in the padding, and one of each."""


@pytest.mark.parametrize(("op", "extents"), CEILINGS)
def test_pools_that_round_up_agree(op: Pool, extents: tuple[int, int]) -> None:
    assert sample_error(Sample("ceil", op, (feature_map(2, *extents),)), 2) <= TOLERANCE


@pytest.mark.parametrize(
    ("op", "extents"),
    [
        (UpConv(3, (2,), dilation=(2,), outpad=(1,)), (2, 4, 5)),
        (UpConv(3, (2,), padding=(1,), dilation=(3,), outpad=(2, 0), bias=False), (2, 4, 5)),
        (UpConv(3, (3,), padding=(2,), dilation=(2,), outpad=(1,)), (2, 4)),
        (GroupNorm(4), (4, 3)),
        (GroupNorm(2, affine=False), (4, 3, 3)),
        (LRN(3), (5, 7)),
        (LRN(2), (5, 7, 3)),
    ],
)
def test_forms_that_need_another_operator_agree(op: Op, extents: tuple[int, ...]) -> None:
    assert sample_error(Sample("form", op, (feature_map(*extents),)), 2) <= TOLERANCE


@pytest.mark.parametrize("sample", Fused.samples(), ids=lambda sample: sample.name)
def test_what_passes_make_is_refused(sample: Sample) -> None:
    import netdsl

    graph = single(sample.op, sample.inputs)
    with pytest.raises(netdsl.NetError, match="E0704"):
        checked(graph, random_weights(graph, DType.FLOAT32))


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.FLOAT16])
def test_boxes_with_corners_the_wrong_way_round_are_written(dtype: DType) -> None:
    graph = single(Nms(9, 0.1, -0.5), (TensorType((17, 4)), vector(17)))
    source = np.random.default_rng(0)
    inputs = {value.name: source.standard_normal((3, *value.type.shape)).astype(np.float32) for value in graph.inputs}
    checked(graph, {}, dtype=dtype)
    assert error(graph, {}, inputs) == 0


def test_operators_are_standard_ones() -> None:
    for op in set(ALL) - set(UNSUPPORTED):
        for sample in op.samples():
            graph = single(sample.op, sample.inputs)
            model = onnx.load_from_string(checked(graph, random_weights(graph, DType.FLOAT32)))
            assert {node.domain for node in model.graph.node} == {""}
            assert not model.functions


def test_results_that_no_layer_makes_or_that_share_a_name() -> None:
    builder = GraphBuilder("Odd")
    x, y = builder.input("x", vector(3)), builder.input("y", vector(3))
    (both,) = builder.node(Add(), (x, y), name="both")
    (more,) = builder.node(Add(), (both, y), name="more")
    results = {"x": both, "more": both, "both": more, "given": x, "again": more}
    for name, value in results.items():
        builder.result(name, value)
    graph = builder.finish()
    inputs = random_inputs(graph, DType.FLOAT32, 2)
    names = [value.name for value in onnx.load_from_string(checked(graph, {})).graph.output]
    assert names == ["x/result", "more", "both", "given", "again"]
    assert error(graph, {}, inputs) <= TOLERANCE


def test_half_precision_agrees_coarsely() -> None:
    for word in ("conv", "upconv", "fc", "bn", "pool", "softmax", "gelu", "upsample", "add", "layernorm"):
        (op,) = [op for op in ALL if op.word == word]
        sample = op.samples()[0]
        graph = single(sample.op, sample.inputs)
        weights, inputs = random_weights(graph, DType.FLOAT32), random_inputs(graph, DType.FLOAT32, 2)
        (full,) = run(checked(graph, weights), inputs)
        data = checked(graph, weights, dtype=DType.FLOAT16)
        halves = {name: array.astype("float16") for name, array in inputs.items()}
        (half,) = run(data, halves)
        assert half.dtype == "float16"
        assert 0 < abs(half - full).max() <= 1e-2 * abs(full).max()
