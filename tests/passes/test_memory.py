"""Liveness and the memory plan: against counting by hand, published shapes, and random lives."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_nets import make

from netdsl.analysis import memory
from netdsl.analysis.liveness import live_bytes, live_ranges, peak_activation_bytes
from netdsl.analysis.memory import Buffer, plan_memory
from netdsl.tensor import DType


def buffers(max_size: int = 25) -> st.SearchStrategy[list[Buffer]]:
    life = st.tuples(st.integers(0, 1000), st.integers(0, 20), st.integers(0, 8))
    return st.lists(life, max_size=max_size).map(
        lambda lives: [Buffer(f"b{i}", size, first, first + more) for i, (size, first, more) in enumerate(lives)]
    )


@pytest.mark.parametrize("pairs", [memory.MOST_PAIRS, 0], ids=["by size", "by time"])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lives=buffers(), alignment=st.sampled_from([1, 16, 256]))
def test_plan_is_sound(pairs: int, monkeypatch: pytest.MonkeyPatch, lives: list[Buffer], alignment: int) -> None:
    monkeypatch.setattr(memory, "MOST_PAIRS", pairs)
    plan = plan_memory(lives, alignment)
    steps = range(max((b.last for b in lives), default=-1) + 1)
    rounded = {b.name: -(-b.bytes // alignment) * alignment for b in lives}
    assert plan.lower_bound == max(
        (sum(rounded[b.name] for b in lives if b.first <= s <= b.last) for s in steps), default=0
    )
    assert plan.lower_bound <= plan.bytes <= sum(rounded.values())
    assert set(plan.offsets) == {b.name for b in lives}
    for a in lives:
        assert plan.offsets[a.name] % alignment == 0
        assert 0 <= plan.offsets[a.name] <= plan.bytes - a.bytes
        for b in lives:
            together = a.first <= b.last and b.first <= a.last
            if a is not b and together and a.bytes and b.bytes:
                apart = plan.offsets[a.name] + a.bytes <= plan.offsets[b.name]
                assert apart or plan.offsets[b.name] + b.bytes <= plan.offsets[a.name]
    assert plan_memory(lives, alignment) == plan


@st.composite
def chains(draw: st.DrawFn) -> list[Buffer]:
    sizes = draw(st.lists(st.integers(1, 10_000), min_size=1, max_size=40))
    return [Buffer(f"c{i}", size, i, i + 1) for i, size in enumerate(sizes)]


@settings(max_examples=100, deadline=None)
@given(chains())
def test_chains_nearly_meet_the_bound(lives: list[Buffer]) -> None:
    plan = plan_memory(lives)
    assert plan.bytes <= 1.02 * plan.lower_bound


def residual_net(blocks: int) -> list[Buffer]:
    """ResNet-50's bottlenecks in float32: the block's input lives until its addition."""
    lives, step, side, width = [], 0, 56, 64
    for block in range(blocks):
        if block in (3, 7, 13):
            side, width = side // 2, width * 2
        for name, channels, steps in (("a", width, 1), ("b", width, 1), ("out", 4 * width, 4)):
            lives.append(Buffer(f"{name}{block}", channels * side * side * 4, step, step + steps))
            step += 1
    return lives


def dense_net(blocks: tuple[int, ...], growth: int = 32) -> list[Buffer]:
    """DenseNet's blocks in float32, concatenations copied: every layer's input lives until the next one is joined."""
    lives, step, side, channels = [], 0, 56, 64
    lives.append(Buffer("stem", channels * side * side * 4, 0, 4))
    for block, layers in enumerate(blocks):
        for layer in range(layers):
            for name, width in (("norm", channels), ("narrow", 4 * growth), ("new", growth)):
                step += 1
                lives.append(Buffer(f"{name}{block}.{layer}", width * side * side * 4, step, step + 1))
            step += 1
            channels += growth
            lives.append(Buffer(f"join{block}.{layer}", channels * side * side * 4, step, step + 4))
        channels, side = channels // 2, side // 2
        step += 4
        lives.append(Buffer(f"pool{block}", channels * side * side * 4, step, step + 4))
    return lives


def dense_net_in_place(blocks: tuple[int, ...], growth: int = 32) -> list[Buffer]:
    """The same without joins: every layer's result lives to the end of its block, beside odd scratch."""
    lives, step, side, channels = [], 0, 56, 64
    for block, layers in enumerate(blocks):
        end = step + 2 * layers
        for layer in range(layers):
            scratch = (channels + growth * layer) * side * side * 4
            lives.append(Buffer(f"scratch{block}.{layer}", scratch, step, step + 1))
            lives.append(Buffer(f"new{block}.{layer}", growth * side * side * 4, step + 1, end))
            step += 2
        channels, side = (channels + growth * layers) // 2, side // 2
    return lives


def u_net() -> list[Buffer]:
    """U-Net at 572 x 572: each level's map lives until the way up crops it."""
    lives, step = [], 0
    levels = [(64, 568), (128, 280), (256, 136), (512, 64)]
    for level, (width, side) in enumerate(levels):
        size = width * side * side * 4
        ups = 3 * (len(levels) - 1 - level)
        lives.append(Buffer(f"first{level}", size + width * 4, step, step + 1))
        lives.append(Buffer(f"skip{level}", size, step + 1, 3 * len(levels) + 2 + ups))
        lives.append(Buffer(f"pooled{level}", size // 4, step + 2, step + 3))
        step += 3
    for level, (width, side) in reversed(list(enumerate(levels))):
        size = width * side * side * 4
        for name in ("up", "first_up", "second_up"):
            lives.append(Buffer(f"{name}{level}", size, step, step + 1))
            step += 1
    return lives


@pytest.mark.parametrize(
    "lives",
    [residual_net(16), dense_net((6, 12, 24, 16)), dense_net((3, 5)), dense_net_in_place((6, 12, 24, 16)), u_net()],
    ids=["resnet50", "densenet121", "small densenet", "densenet121 in place", "unet"],
)
@pytest.mark.parametrize("alignment", [1, 256])
def test_networks_are_within_two_percent(lives: list[Buffer], alignment: int) -> None:
    plan = plan_memory(lives, alignment)
    assert plan.bytes <= 1.02 * plan.lower_bound


def test_the_search_mends_what_greedy_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five lives for which no order by size, length or time meets the bound of 11."""
    lives = [("a", 3, 3, 3), ("b", 3, 2, 5), ("c", 5, 6, 8), ("d", 4, 3, 6), ("e", 2, 4, 7)]
    assert plan_memory(lives).bytes == plan_memory(lives).lower_bound == 11
    monkeypatch.setattr(memory, "SEARCH_STEPS", 0)
    assert plan_memory(lives).bytes == 12


@pytest.mark.parametrize("wrong", [[("a", -1, 0, 1)], [("a", 1, 2, 1)], [("a", 1, 0, 1), ("a", 2, 3, 4)]])
def test_what_is_no_buffer_is_refused(wrong: list[tuple[str, int, int, int]]) -> None:
    with pytest.raises(ValueError, match="buffer"):
        plan_memory(wrong)


def test_many_that_live_together_are_placed_quickly() -> None:
    lives = [(f"b{i}", 1 + i % 7, i % 5000, 5000 + i % 100) for i in range(20_000)]
    plan = plan_memory(lives)
    assert plan.bytes <= 1.02 * plan.lower_bound


def test_live_bytes_by_hand() -> None:
    assert live_bytes([(10, 0, 1), (5, 1, 2), (7, 4, 4)]) == [10, 15, 5, 0, 7]


def test_live_ranges_of_a_residual_block() -> None:
    """x conv bn relu | conv bn relu conv bn | add relu: the shortcut, made at step 2, lives to the addition at 8."""
    graph = make("residual")
    ranges = {value.name: (first, last) for value, first, last in live_ranges(graph)}
    assert ranges["x"] == (0, 0)
    assert ranges["relu"] == (2, 8)
    assert ranges["bn3"] == (7, 8)
    assert ranges["relu3"] == (9, 9)
    # Three maps of 4 x 6 x 5 floats live from step 4 on: the shortcut, what is read and what is made.
    assert peak_activation_bytes(graph) == 3 * 120 * 4
    assert peak_activation_bytes(graph, DType.FLOAT16, 8) == 3 * 120 * 2 * 8


def test_unused_inputs_and_results() -> None:
    graph = make("borders")
    ranges = {value.name: (first, last) for value, first, last in live_ranges(graph)}
    end = len(graph.nodes) - 1
    assert ranges["x"] == (0, end)
    assert ranges["conv"] == (0, end)
    assert peak_activation_bytes(make("nothing")) == 12
