"""Every pass on every small graph, and on random ones: valid, idempotent, and with the same answers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from small_nets import NETS, graphs, make

from netdsl.ir.fused import Fused
from netdsl.ir.graph import Graph
from netdsl.ir.text import dump, parse_text
from netdsl.ir.verify import verify
from netdsl.passes.dead_code import DeadCode
from netdsl.passes.fold_batch_norm import FoldBatchNorm
from netdsl.passes.fuse import Fuse
from netdsl.passes.hoist import Hoist
from netdsl.passes.layout import AssignLayout
from netdsl.passes.manager import Pass, Stage, run_passes
from netdsl.passes.merge_equal import MergeEqual
from netdsl.passes.pipeline import CHANNELS_LAST, OPTIMIZE
from netdsl.passes.simplify import Simplify
from netdsl.passes.split_batch_norm import SplitBatchNorm
from netdsl.reference.interpret import interpret
from netdsl.tensor import Layout

PIPELINES: dict[str, tuple[Pass, ...]] = {
    **{
        step.name: (step,)
        for step in (
            Simplify(), Hoist(), MergeEqual(), DeadCode(), FoldBatchNorm(), SplitBatchNorm(), Fuse(), AssignLayout(),
        )
    },
    "layout, then the rest": (AssignLayout(), *OPTIMIZE),
    "optimize": OPTIMIZE,
    "channels last": CHANNELS_LAST,
}  # fmt: skip


def run(graph: Graph, passes: Sequence[Pass]) -> Graph:
    return run_passes(graph, passes)[0]


def optimized(name: str, passes: Sequence[Pass] = OPTIMIZE) -> Graph:
    return run(make(name), passes)


def words(graph: Graph) -> list[str]:
    return [node.op.body.name if isinstance(node.op, Fused) else node.op.word for node in graph.nodes]


def answers(graph: Graph) -> list[np.ndarray]:
    """Results in float64, so that what differs is the rewrite and not the rounding."""
    random = np.random.default_rng(7)
    inputs = {value.name: random.standard_normal((2, *value.type.shape)) for value in graph.inputs}
    weights = {}
    for parameter in graph.parameters:
        name, shape = parameter.value.name, parameter.value.type.shape
        weights[name] = random.standard_normal(shape) / max(1, prod(shape[1:])) ** 0.5
        if name.endswith("running_var"):
            weights[name] = np.abs(weights[name]) + 0.5
    return list(interpret(graph, inputs, weights, np.float64))


def assert_same(before: Graph, after: Graph) -> None:
    assert [name for name, _ in after.results] == [name for name, _ in before.results]
    for old, new in zip(answers(before), answers(after), strict=True):
        assert new.shape == old.shape
        np.testing.assert_allclose(new, old, rtol=1e-9, atol=1e-9 * max(1.0, float(np.abs(old).max())))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_keeps_answers_and_signature(name: str, pipeline: str) -> None:
    before = make(name)
    after = run(before, PIPELINES[pipeline])
    assert after.inputs == before.inputs
    assert after.parameters == before.parameters
    assert_same(before, after)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_idempotent(name: str, pipeline: str) -> None:
    once = run(make(name), PIPELINES[pipeline])
    assert dump(run(once, PIPELINES[pipeline])) == dump(once)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_nothing_to_do_is_the_same_object(pipeline: str) -> None:
    graph = run(make("lenet"), PIPELINES[pipeline])
    assert run(graph, PIPELINES[pipeline]) is graph


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_random_graphs(graph: Graph) -> None:
    for pipeline in ("optimize", "channels last", "layout, then the rest"):
        after = run(graph, PIPELINES[pipeline])
        assert_same(graph, after)
        assert dump(run(after, PIPELINES[pipeline])) == dump(after)
        assert dump(parse_text(dump(after))) == dump(after)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("passes", [(), OPTIMIZE, CHANNELS_LAST], ids=["plain", "optimize", "channels last"])
def test_text_form_is_an_identity(name: str, passes: tuple[Pass, ...]) -> None:
    text = dump(optimized(name, passes))
    again = parse_text(text)
    verify(again)
    assert dump(again) == text


def test_every_pass_does_something() -> None:
    """A pass that changed nothing anywhere would pass every test above."""
    for step in (*CHANNELS_LAST,):
        assert any(dump(run(make(name), (step,))) != dump(make(name)) for name in NETS), step.name


def test_residual_block_is_three_kernels() -> None:
    graph = optimized("residual")
    assert words(graph) == ["conv_relu", "conv_relu", "conv_add_relu"]
    assert [node.name for node in graph.nodes] == ["conv", "conv2", "conv3"]


def test_projection_joins_the_later_convolution() -> None:
    assert words(optimized("projection"))[:2] == ["conv", "conv_add_leakyrelu"]


def test_norms_fold_into_every_linear_layer() -> None:
    graph = optimized("norms_fold")
    assert words(graph) == ["conv", "conv", "upconv", "upconv", "conv", "fc_silu"]
    assert graph.prelude


def test_shared_layers_fold_once() -> None:
    """The first and the third call are on the same tensor, so there are two; their folded weights are the same."""
    graph = optimized("shared")
    assert words(graph) == ["conv", "conv"]
    assert graph.nodes[0].weights == graph.nodes[1].weights
    assert [node.op.word for node in graph.prelude].count("bnscale") == 1


def test_remarks_say_why_a_norm_stays() -> None:
    remarks = [str(remark) for remark in run_passes(make("norms_stay"), OPTIMIZE)[1]]
    assert "conv conv keeps its batch norm: conv has two users [fold-batch-norm]" in remarks
    assert "conv conv2 keeps its batch norm: conv2 is a result [fold-batch-norm]" in remarks
    assert any("fc fc keeps its batch norm: the norm is over the first axis" in remark for remark in remarks)


def test_identities_leave_what_matters() -> None:
    assert words(optimized("identities")) == ["relu", "transpose", "flatten", "relu6_clamp"]


def test_zero_padding_moves_into_the_convolution() -> None:
    graph = run(make("pads"), (Simplify(),))
    assert [node.op.word for node in graph.nodes] == ["pad", "conv", "pad", "conv", "pad", "conv"]
    assert graph.nodes[1].inputs[0] is graph.inputs[0]
    assert graph.nodes[1].op.padding == (2, 3, 1, 2)


def test_constants_are_hoisted() -> None:
    graph = optimized("constants")
    assert [node.op.word for node in graph.prelude] == ["exp", "mul"]
    assert words(graph) == ["mul_add"]


def test_equal_values_are_computed_once() -> None:
    assert words(optimized("duplicates")) == ["relu_tanh", "concat", "sub"]


def test_channels_last_copies_at_the_borders_only() -> None:
    graph = optimized("residual", CHANNELS_LAST)
    assert words(graph) == ["relayout", "conv_relu", "conv_relu", "conv_add_relu", "relayout"]
    assert all(node.outputs[0].type.layout is Layout.CHANNELS_LAST for node in graph.nodes[:-1])
    assert all(value.type.layout is Layout.CHANNELS_FIRST for value in graph.outputs)


def test_flatten_before_fc_is_absorbed() -> None:
    graph = optimized("lenet", CHANNELS_LAST)
    assert words(graph).count("relayout") == 0, "one channel in, and the way out is flat"
    assert "transpose" in words(graph)
    assert [node.op.word for node in graph.prelude] == ["reshape", "transpose", "reshape"]


def test_observer_sees_every_stage() -> None:
    stages: list[Stage] = []
    run_passes(make("residual"), OPTIMIZE, stages.append)
    assert [stage.number for stage in stages] == list(range(len(OPTIMIZE) + 1))
    assert [stage.name for stage in stages] == ["elaborate", *(step.name for step in OPTIMIZE)]
    assert len(stages[-1].graph.nodes) == 3
