"""Every operator has all of its parts: samples that reach everything, a reference, a lowering in every backend."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest

from netdsl.backends import BACKENDS
from netdsl.codegen.numpy import lowerings as numpy_lowerings
from netdsl.codegen.torch import expressions as torch_expressions
from netdsl.codegen.triton import expressions
from netdsl.codegen.triton.lowerings import table
from netdsl.ir.fused import Fused
from netdsl.ir.graph import operand_count
from netdsl.onnx.write import operators as write_operators
from netdsl.ops import ALL, activation, conv, linear, maps, norm, pool, shape
from netdsl.ops.base import AttrKind, Op, Sample
from netdsl.passes.expand import EXPANSIONS
from netdsl.reference.interpret import REFERENCE
from netdsl.tensor import TensorType

SAMPLES = [(op, sample) for op in ALL for sample in op.samples()]
LARGEST_SAMPLE = 2_000
MAPS: tuple[type[Op], ...] = (
    *(conv.Conv, conv.UpConv, pool.Pool, pool.AdaptivePool, pool.Unpool, norm.BatchNorm, norm.LRN, norm.GroupNorm),
    *(shape.Tokens, maps.Pad, maps.Crop, maps.Upsample),
)
"""Operators on feature maps of either rank."""

LOWERED: dict[str, tuple[set[type[Op]], dict[type[Op], str]]] = {
    "numpy": ({*numpy_lowerings.LOWERED, *EXPANSIONS}, numpy_lowerings.UNSUPPORTED),
    "triton": ({*table.LOWERINGS, *expressions.CONSTANT, *EXPANSIONS}, table.UNSUPPORTED),
}
"""What each backend computes, in the network or on weights alone, and what it does not, with the reason."""

WRITTEN = {
    **LOWERED,
    "torch": (set(torch_expressions.LOWERINGS), torch_expressions.UNSUPPORTED),
    "onnx": (set(write_operators.LOWERINGS), write_operators.UNSUPPORTED),
}
"""The same of every form in which a network leaves netdsl."""


def sample_name(value: Any) -> str:
    return value.word if isinstance(value, type) else value.name


@pytest.mark.parametrize("op", ALL)
def test_samples_have_names_of_their_own(op: type[Op]) -> None:
    names = [sample.name for sample in op.samples()]
    assert names
    assert len(names) == len(set(names))
    assert all(name.isidentifier() for name in names)


@pytest.mark.parametrize("op", ALL)
def test_samples_reach_every_value_of_every_attribute(op: type[Op]) -> None:
    """Both sides of a flag, every choice, the default and something else."""
    written = [sample.op for sample in op.samples()]
    for item in op.schema():
        values = {getattr(case, item.name) for case in written}
        if item.kind is AttrKind.FLAG:
            assert values == {True, False}, item.name
        elif item.kind is AttrKind.WORD:
            assert values == set(item.choices), item.name
        elif not item.required:
            assert item.default in values, item.name
            assert values - {item.default}, item.name


@pytest.mark.parametrize("op", [op for op in ALL if any(item.kind is AttrKind.AXES for item in op.schema())])
def test_samples_give_one_value_for_every_axis_and_one_for_each(op: type[Op]) -> None:
    lengths = {
        len(getattr(s.op, item.name)) for s in op.samples() for item in op.schema() if item.kind is AttrKind.AXES
    }
    assert {1, 2} <= lengths


@pytest.mark.parametrize("op", MAPS)
def test_samples_reach_maps_and_lines(op: type[Op]) -> None:
    assert {2, 3} <= {sample.inputs[0].rank for sample in op.samples()}


@pytest.mark.parametrize("op", ALL)
def test_samples_are_small_and_odd(op: type[Op]) -> None:
    for sample in op.samples():
        assert all(operand.size <= LARGEST_SAMPLE for operand in sample.inputs), sample.name
    types = [type for sample in op.samples() for type in sample.inputs or sample.op.infer(())]
    assert any(extent % 2 for type in types for extent in type.shape)


@pytest.mark.parametrize("op", [conv.Conv, linear.Fc, linear.MatMul, activation.Relu, pool.Pool, activation.Softmax])
def test_some_samples_are_larger_than_a_tile(op: type[Op]) -> None:
    assert max(operand.size for sample in op.samples() for operand in sample.inputs) > 1_024


@pytest.mark.parametrize(("op", "sample"), SAMPLES, ids=sample_name)
def test_resolving_twice_is_resolving_once(op: type[Op], sample: Sample) -> None:
    least, most = sample.op.wanted()
    assert least <= len(sample.inputs) <= (most or len(sample.inputs))
    resolved = sample.op.resolve(sample.inputs)
    read = sample.inputs[: resolved.wanted()[0]] if resolved.wanted()[1] == 1 else sample.inputs
    assert resolved.resolve(read) == resolved
    assert resolved.infer(read) == resolved.infer(sample.inputs)


@pytest.mark.parametrize(("op", "sample"), SAMPLES, ids=sample_name)
def test_what_a_resolved_operator_says_of_itself(op: type[Op], sample: Sample) -> None:
    resolved = sample.op.resolve(sample.inputs)
    results = resolved.infer(sample.inputs)
    assert results
    for result in results:
        assert isinstance(result, TensorType)
        assert all(type(extent) is int and extent >= 1 for extent in result.shape)
    weights = resolved.weights(sample.inputs)
    assert len({weight.name for weight in weights}) == len(weights)
    for weight in weights:
        assert prod(weight.shape) > 0
        assert weight.init.kind in ("constant", "normal", "uniform")
    macs, flops = resolved.cost(sample.inputs, results)
    assert type(macs) is type(flops) is int
    assert 0 <= 2 * macs <= flops
    window = resolved.window(sample.inputs)
    if window is not None:
        assert len(window.extent) == len(window.stride) == sample.inputs[0].rank - 1
        assert min(window.extent) >= 1
        assert all(over >= 1 <= under for over, under in window.stride)
    read = sample.inputs if resolved.wanted()[1] != 1 else sample.inputs[:1]
    types = (*read, *(TensorType(weight.shape, batch=0) for weight in weights))
    assert operand_count(resolved, types) == len(read)


def test_every_operator_has_a_reference() -> None:
    assert set(REFERENCE) == set(ALL)


@pytest.mark.parametrize("form", [*BACKENDS, "onnx"])
def test_every_form_has_every_operator_or_says_why_not(form: str) -> None:
    lowered, unsupported = WRITTEN[form]
    assert all(reason.strip() for reason in unsupported.values())
    assert not lowered & set(unsupported), "an entry that is no longer needed"
    assert (lowered | set(unsupported)) - {Fused} == set(ALL)
