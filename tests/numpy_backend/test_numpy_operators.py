"""Every operator on every sample: the generated module against the reference interpreter."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from generated import compare, difference
from small_nets import single

from netdsl.codegen.numpy import planner
from netdsl.codegen.numpy.calls import RESULT, Call, Elementwise, Step
from netdsl.codegen.numpy.lowerings import LOWERED, LOWERINGS, UNSUPPORTED
from netdsl.codegen.numpy.lowerings.conv import Block, Rows
from netdsl.ir.fused import Fused
from netdsl.ir.graph import Graph
from netdsl.ops import ALL
from netdsl.ops.base import Op, Sample
from netdsl.passes.expand import WHOLE, Expand
from netdsl.passes.hoist import Hoist
from netdsl.passes.manager import run_passes
from netdsl.tensor import DType

SAMPLES = [pytest.param(sample, id=f"{op.word}-{sample.name}") for op in (*ALL, Fused) for sample in op.samples()]


def test_every_operator_is_lowered_or_says_why_not() -> None:
    assert {*ALL, Fused} == LOWERED | UNSUPPORTED.keys() | WHOLE
    assert not LOWERED & {*UNSUPPORTED, *WHOLE}


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.FLOAT64])
@pytest.mark.parametrize("sample", SAMPLES)
def test_module_agrees_with_the_reference(sample: Sample, dtype: DType, n: int) -> None:
    compare(single(sample.op, sample.inputs), dtype, n)


@pytest.mark.parametrize("sample", SAMPLES)
def test_lowering_agrees_without_passes_and_in_any_layout(sample: Sample) -> None:
    compare(single(sample.op, sample.inputs), DType.FLOAT64, 2, passes=(Expand(), Hoist()))


# A fault planted in each lowering is caught.


def graphs(op: type[Op]) -> list[Graph]:
    """The samples that resolve to the operator itself (`pool to=` may become another)."""
    made = [run_passes(single(sample.op, sample.inputs), (Expand(),))[0] for sample in op.samples()]
    return [graph for graph in made if type(graph.nodes[0].op) is op]


def failures(op: type[Op]) -> int:
    """How many samples of an operator no longer agree, or do not even run."""
    count = 0
    for graph in graphs(op):
        try:
            compare(graph, DType.FLOAT64, 2, passes=(Expand(), Hoist()))
        except Exception:
            count += 1
    return count


@pytest.mark.parametrize("op", [op for op in ALL if op not in WHOLE], ids=lambda op: op.word)
def test_a_result_that_is_off_by_little_is_caught(op: type[Op], monkeypatch: pytest.MonkeyPatch) -> None:
    if op in LOWERINGS:
        lowering = LOWERINGS[op]

        def faulty(op: Any, node: Any) -> tuple[Call, ...]:
            lowered = lowering(op, node)
            calls = lowered if isinstance(lowered, tuple) else (lowered,)
            (*rest, last) = calls
            view = last.writes[0]
            if last.returns:
                return (replace(last, function="np.add", arguments=last.arguments, spec=None),)
            return (*rest, last, Call("np.add", (view, 1), (view,)))

        monkeypatch.setitem(LOWERINGS, op, faulty)
    else:
        original = planner.steps_of

        def shifted(item: Op, *arguments: Any) -> Elementwise | None:
            lowered = original(item, *arguments)
            if lowered is None or type(item) is not op:
                return lowered
            return replace(lowered, steps=(*lowered.steps, Step("np.add", (RESULT, 1e-9))))

        monkeypatch.setattr(planner, "steps_of", shifted)
    assert failures(op) == len(graphs(op)) > 0


def other(value: Any) -> Any:
    """A value that means something else."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return (other(value[0]), *value[1:])
    if isinstance(value, str):
        return {"reflect": "edge", "edge": "reflect"}[value]
    return value + 1 if isinstance(value, int) else 0.5 * value + 0.25


def settings(call: Call) -> list[tuple[str, str]]:
    """The fields of a call's keyword arguments, but for those that only cut the work into blocks."""
    return [
        (part, field.name)
        for part in ("spec", "window")
        for field in (fields(getattr(call, part)) if getattr(call, part) else ())
        if not isinstance(getattr(call, part), Block | Rows)
    ]


def calls(op: type[Op], graph: Graph) -> tuple[Call, ...]:
    lowered = LOWERINGS[op](graph.nodes[0].op, graph.nodes[0])
    return lowered if isinstance(lowered, tuple) else (lowered,)


def every_setting() -> list[Any]:
    """Every setting of every kernel that any sample takes: operator, kernel, part, field."""
    found = dict.fromkeys(
        (op, call.function, *setting)
        for op in LOWERINGS
        for graph in graphs(op)
        for call in calls(op, graph)
        for setting in settings(call)
    )
    return [pytest.param(*key, id=f"{key[0].word}-{key[1]}-{key[3]}") for key in found]


@pytest.mark.parametrize(("op", "function", "part", "field"), every_setting())
def test_a_wrong_setting_of_a_kernel_is_caught(
    op: type[Op], function: str, part: str, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lowering = LOWERINGS[op]

    def faulty(op: Any, node: Any) -> tuple[Call, ...]:
        lowered = lowering(op, node)
        result = []
        for call in lowered if isinstance(lowered, tuple) else (lowered,):
            settings = getattr(call, part)
            if call.function == function and settings:
                settings = replace(settings, **{field: other(getattr(settings, field))})
            result.append(replace(call, **{part: settings}))
        return tuple(result)

    monkeypatch.setitem(LOWERINGS, op, faulty)
    assert failures(op) > 0


def test_the_comparison_sees_what_it_must() -> None:
    y = np.array([1.0, np.nan, np.inf])
    assert difference(y.copy(), y) == 0
    assert difference(np.array([1.0, np.nan, -np.inf]), y) == np.inf
    assert difference(np.array([1.0, 0.0, np.inf]), y) == np.inf
    assert difference(y.astype(np.float32), y) == np.inf
    assert difference(y[:2], y) == np.inf
    assert difference(np.array([1.5, np.nan, np.inf]), y) == 0.5
