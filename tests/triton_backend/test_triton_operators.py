"""Every operator, every sample: the kernels under Triton's interpreter against the reference."""

from __future__ import annotations

from typing import Any

import pytest
from interpreted import Interpreter, compare, single

from netdsl.ops import ALL, Div, Log, LogSoftmax, Relayout, Sqrt
from netdsl.ops.base import Op, Sample
from netdsl.tensor import DType

pytestmark = pytest.mark.triton

SAMPLES = [pytest.param(op, sample, id=f"{op.word}-{sample.name}") for op in ALL for sample in op.samples()]
POSITIVE: tuple[type[Op], ...] = (Div, Log, Sqrt)
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
