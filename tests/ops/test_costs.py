"""Costs against PyTorch's own counter, against counting by hand, and against what the reference pages say."""

from __future__ import annotations

import re
from math import prod
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netdsl.ops import (
    ALL,
    activation,
    attention,
    conv,
    elementwise,
    function,
    linear,
    maps,
    norm,
    pieces,
    pool,
    recurrent,
    reduce,
    shape,
    style,
)
from netdsl.ops.base import Cost, Op, Sample, feature_map, vector
from netdsl.tensor import TensorType

try:
    import torch
    from torch.utils.flop_counter import FlopCounterMode
except ImportError:  # the tests that count with PyTorch skip then
    torch = None

IMAGE = feature_map(6, 5, 7)
MATRICES = (conv.Conv, conv.UpConv, linear.Fc, linear.MatMul)
MOVING = (shape.__name__, maps.__name__, pieces.__name__)
"""Families of operators that only move values."""
ATTENTION = (attention.Attention, attention.Attend)
MADE_OF_THEM = (recurrent.Lstm, recurrent.Gru, recurrent.Recurrence, style.ModConv, style.Blur)
MATRIX_SAMPLES = [sample for op in MATRICES for sample in op.samples()]


def cost(op: Op, *inputs: TensorType) -> Cost:
    resolved = op.resolve(inputs)
    return resolved.cost(inputs, resolved.infer(inputs))


def counted(op: Any, operands: list[Any], weights: list[Any]) -> int:
    """The operations that PyTorch counts: two for each multiply-accumulate."""
    functional = torch.nn.functional
    with FlopCounterMode(display=False) as counter:
        match op:
            case conv.Conv():
                function = functional.conv1d if len(op.kernel) == 1 else functional.conv2d
                rank = len(op.kernel)
                sides = [side for i in reversed(range(rank)) for side in (op.padding[i], op.padding[rank + i])]
                function(functional.pad(operands[0], sides), weights[0], None, op.stride, 0, op.dilation, op.groups)
            case conv.UpConv():
                function = functional.conv_transpose1d if len(op.kernel) == 1 else functional.conv_transpose2d
                function(operands[0], weights[0], None, op.stride, 0, 0, op.groups, op.dilation)
            case linear.Fc():
                functional.linear(operands[0], weights[0])
            case linear.MatMul():
                a, b = operands
                (a.mT if op.transpose_a else a) @ (b.mT if op.transpose_b else b)
    return int(counter.get_total_flops())


@pytest.mark.torch
@pytest.mark.skipif(torch is None, reason="PyTorch is the oracle")
@pytest.mark.parametrize("sample", MATRIX_SAMPLES, ids=lambda sample: f"{sample.op.word}_{sample.name}")
def test_multiply_accumulates_are_what_pytorch_counts(sample: Sample) -> None:
    op = sample.op.resolve(sample.inputs)
    operands = [torch.empty(*([1] if type.batch else []), *type.shape, device="meta") for type in sample.inputs]
    weights = [torch.empty(weight.shape, device="meta") for weight in op.weights(sample.inputs)]
    macs = op.cost(sample.inputs, op.infer(sample.inputs)).macs
    assert 2 * macs == counted(op, operands, weights)


@pytest.mark.parametrize("sample", MATRIX_SAMPLES, ids=lambda sample: f"{sample.op.word}_{sample.name}")
def test_a_bias_adds_one_operation_per_output(sample: Sample) -> None:
    op = sample.op.resolve(sample.inputs)
    results = op.infer(sample.inputs)
    macs, flops = op.cost(sample.inputs, results)
    has_bias = len(op.weights(sample.inputs)) == 2
    assert flops == 2 * macs + (results[0].elements if has_bias else 0)


@pytest.mark.parametrize("op", [op for op in ALL if op not in MATRICES + ATTENTION + MADE_OF_THEM])
def test_only_convolutions_and_matrix_products_multiply_and_accumulate(op: type[Op]) -> None:
    for sample in op.samples():
        assert cost(sample.op, *sample.inputs).macs == 0


@pytest.mark.torch
@pytest.mark.skipif(torch is None, reason="PyTorch is the oracle")
@pytest.mark.parametrize("sample", [s for op in ATTENTION for s in op.samples()], ids=lambda sample: sample.name)
def test_attention_counts_its_projections_and_both_products(sample: Sample) -> None:
    """As PyTorch counts matrix products: projections of all that they are applied to, scores, and sums of values."""
    op = sample.op.resolve(sample.inputs)
    assert isinstance(op, ATTENTION)
    tensors, _ = attention.parts(sample.inputs)
    (result,) = op.infer(sample.inputs)
    queries, keys = attention.length(tensors[0]), attention.length(tensors[-1])
    width = attention.features(result) // op.heads
    with FlopCounterMode(display=False) as counter:
        q, k = torch.empty(op.heads, queries, width, device="meta"), torch.empty(op.heads, keys, width, device="meta")
        (q @ k.mT) @ k
        if isinstance(op, attention.Attention):
            for rows, weight in zip((queries, keys, keys, queries), matrices(op, sample.inputs), strict=True):
                torch.empty(rows, weight[1], device="meta") @ torch.empty(weight[::-1], device="meta")
    macs, flops = op.cost(sample.inputs, (result,))
    assert 2 * macs == counter.get_total_flops()
    biases = sum(2 * n * attention.features(result) for n in (queries, keys)) if getattr(op, "bias", False) else 0
    per_score = 5 + op.scaled + op.causal + any(not type.dtype.is_float for type in sample.inputs)
    assert flops == 2 * macs + biases + op.heads * queries * keys * per_score


def matrices(op: Op, inputs: tuple[TensorType, ...]) -> list[tuple[int, ...]]:
    """Shapes of the four projections, q, k, v and the result's, from the weights."""
    *into, out = [weight.shape for weight in op.weights(inputs) if len(weight.shape) == 2]
    return [*(into if len(into) == 3 else [(into[0][0] // 3, into[0][1])] * 3), out]


@pytest.mark.torch
@pytest.mark.skipif(torch is None, reason="PyTorch is the oracle")
@pytest.mark.parametrize("kind", [recurrent.Lstm, recurrent.Gru])
def test_recurrent_layers_count_a_cell_s_products_times_the_steps(kind: type[recurrent.Recurrent]) -> None:
    """As PyTorch counts those of `LSTMCell` and `GRUCell`; of a cell's parts one is a `recurrence`."""
    steps, width, out = 7, 5, 3
    with torch.device("meta"):
        cell = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}[kind.word](width, out)
        with FlopCounterMode(display=False) as counter:
            cell(torch.empty(1, width))
    whole = cost(kind(out), TensorType((steps, width)))
    assert 2 * whole.macs == steps * counter.get_total_flops()
    rows = kind.gates * out
    weights = (TensorType((rows, out), batch=0), TensorType((rows,), batch=0))
    part = cost(recurrent.Recurrence(kind.word), TensorType((steps, rows)), *weights)
    entering = cost(linear.Fc(rows), TensorType((steps, width)))
    assert (entering.macs + part.macs, entering.flops + part.flops) == whole
    # LSTM: 4 sums, 3 sigmoids, 2 tanh, 3 products, 1 sum; GRU: 3 sums, 2 sigmoids, 1 tanh, 1 - z, 3 products, 1 sum.
    others = {"lstm": 4 + 3 * 4 + 2 + 3 + 1, "gru": 3 + 2 * 4 + 1 + 1 + 3 + 1}[kind.word]
    assert whole.flops == 2 * whole.macs + steps * out * (2 * kind.gates + others)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_style_costs_operations_and_no_multiply_accumulates(transposed: bool) -> None:
    x, s = feature_map(6, 5, 7), vector(6)
    plain = (conv.UpConv if transposed else conv.Conv)(4, (3,), (2,), bias=False)
    kept, demodulated = (cost(style.ModConv(4, (3,), (2,), (0,), transposed, on), x, s) for on in (False, True))
    outputs = plain.resolve((x,)).infer((x,))[0].elements
    assert kept == (cost(plain, x).macs, cost(plain, x).flops + x.elements)
    assert demodulated == (kept.macs, kept.flops + outputs + 2 * 4 * 6 + 6 + 2 * 4)


@pytest.mark.parametrize("rank", [1, 2])
def test_a_blur_counts_as_a_depthwise_convolution(rank: int) -> None:
    x = feature_map(6, *(5, 7)[:rank])
    assert cost(style.Blur(down=2), x) == cost(conv.Conv(6, (4,), (2,), (1,), groups=6, bias=False), x)
    assert cost(style.Blur(up=2), x) == cost(conv.UpConv(6, (4,), (2,), (1,), groups=6, bias=False), x)


PER_ELEMENT: dict[Op, int] = {
    activation.Relu(): 1,
    activation.Relu6(): 2,
    activation.LeakyRelu(): 2,
    activation.PRelu(): 2,
    activation.Elu(): 4,
    activation.Selu(): 5,
    activation.Gelu(): 5,
    activation.Gelu(tanh=True): 9,
    activation.Silu(): 5,
    activation.HardSwish(): 5,
    activation.HardSigmoid(): 4,
    activation.Sigmoid(): 4,
    activation.Tanh(): 1,
    activation.Softplus(): 3,
    activation.Abs(): 1,
    activation.Exp(): 1,
    activation.Log(): 1,
    activation.Sqrt(): 1,
    activation.Clamp(0.0, 1.0): 2,
    activation.Softmax(): 5,
    activation.LogSoftmax(): 5,
    norm.BatchNorm(): 2,
    norm.LRN(5): 9,
    norm.LayerNorm(): 7,
    norm.LayerNorm(affine=False): 5,
    norm.GroupNorm(3): 7,
    norm.GroupNorm(3, affine=False): 5,
    elementwise.Scale(2.0): 1,
    elementwise.Shift(2.0): 1,
    function.Apply("sin"): 1,
    reduce.Mean(): 1,
    reduce.Product(): 1,
    reduce.Sum((0,)): 1,
    reduce.Largest((1, 2)): 1,
    reduce.Smallest(keep=True): 1,
}
"""Operations for each element of the operand."""


@pytest.mark.parametrize(("op", "operations"), PER_ELEMENT.items(), ids=lambda item: getattr(item, "word", ""))
def test_operations_per_element(op: Op, operations: int) -> None:
    assert cost(op, IMAGE) == (0, operations * IMAGE.size)


@pytest.mark.parametrize(("op", "operations"), PER_ELEMENT.items(), ids=lambda item: getattr(item, "word", ""))
def test_the_reference_page_states_the_same_number(op: Op, operations: int) -> None:
    rule = re.sub(r"\s+", " ", op.__doc__ or "").partition("Cost: ")[2]
    if isinstance(op, norm.LRN):
        rule = rule.replace("`size + 4`", str(op.size + 4))
    if isinstance(op, norm.LayerNorm | norm.GroupNorm) and op.affine:
        assert "2 more with weights" in rule
        operations -= 2
    assert str(operations) in re.findall(r"\d+", rule)


@pytest.mark.parametrize("kind", [elementwise.Add, elementwise.Mul, elementwise.Maximum, elementwise.Minimum])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_join_costs_one_less_than_its_operands(kind: type[Op], count: int) -> None:
    gate = feature_map(6, 1, 1)
    assert cost(kind(), IMAGE, *[gate] * (count - 1)) == (0, (count - 1) * IMAGE.size)


def test_quotients() -> None:
    assert cost(elementwise.Sub(), IMAGE, IMAGE) == cost(elementwise.Div(), IMAGE, IMAGE) == (0, IMAGE.size)
    assert cost(elementwise.Div(1e-3), IMAGE, IMAGE) == (0, 2 * IMAGE.size)


@pytest.mark.parametrize("op", [op for op in ALL if op.__module__ in MOVING and op is not maps.Upsample])
def test_rearrangements_are_free(op: type[Op]) -> None:
    for sample in op.samples():
        assert cost(sample.op, *sample.inputs) == (0, 0)


def test_upsampling() -> None:
    assert cost(maps.Upsample(stride=(2,)), IMAGE) == (0, 0)
    assert cost(maps.Upsample("bilinear", (2,)), IMAGE) == (0, 9 * 4 * IMAGE.size)
    assert cost(maps.Upsample("bilinear", (2,)), feature_map(3, 7)) == (0, 3 * 2 * 21)


def test_pools() -> None:
    assert cost(pool.Pool("max", (3,), (2,), (1,)), IMAGE) == (0, 6 * 3 * 4 * 8)
    assert cost(pool.Pool("avg", (3,), (2,), (1,)), IMAGE) == (0, 6 * 3 * 4 * 9)
    assert cost(pool.Pool("avg", whole=True), IMAGE) == (0, 6 * 5 * 7)


extents = st.integers(1, 30)


@settings(deadline=None)
@given(st.lists(st.tuples(extents, extents), min_size=1, max_size=2), st.sampled_from(["max", "avg"]))
def test_adaptive_windows_are_counted_one_by_one(axes: list[tuple[int, int]], function: str) -> None:
    """By PyTorch's definition: from floor(i L / n) to ceil((i + 1) L / n)."""
    operand = feature_map(2, *[length for length, _ in axes])
    op = pool.AdaptivePool(function, tuple(n for _, n in axes))
    windows = [[-(-(i + 1) * length // n) - i * length // n for i in range(n)] for length, n in axes]
    elements = 2 * prod(map(sum, windows))
    outputs = 2 * prod(n for _, n in axes)
    assert cost(op, operand) == (0, elements - (0 if function == "avg" else outputs))
    assert op.window((operand,)).extent == tuple(map(max, windows))


def test_a_huge_layer_is_counted_at_once_and_exactly() -> None:
    """A fully connected layer of 40,000 units on a 200x200 image has 1.6 billion weights; numbers past 64 bits work."""
    assert cost(linear.Fc(40_000, bias=False), vector(200 * 200)) == (1_600_000_000, 3_200_000_000)
    assert cost(linear.Fc(2**100), vector(2**100)) == (2**200, 2**201 + 2**100)
    operand = feature_map(2**40, 2**60, 2**60)
    assert cost(conv.Conv(2**40, (3,), padding=(1,), bias=False), operand) == (9 * 2**200, 9 * 2**201)
    assert cost(pool.Pool("avg", to=(2**59 + 1, 1)), operand)[1] > 2**160


def test_rows_of_a_sample_count_each() -> None:
    """Inside `each`, a sample has several rows; what does not depend on the sample counts once."""
    op = conv.Conv(4, (3,))
    once, often, constant = (cost(op, IMAGE._replace(batch=batch)) for batch in (1, 7, 0))
    assert often == (7 * once.macs, 7 * once.flops)
    assert constant == once
