"""Every operator's NumPy lowering, made wrong: the comparison of the random nets sees it."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from faults import READ, TAKEN_FOR
from generator import RandomNet
from net_checks import EXACT, difference, draw_data, module_results, read, torch, torch_results
from test_random_nets import sample

from netdsl.codegen.numpy import planner
from netdsl.codegen.numpy.lowerings import LOWERINGS
from netdsl.ir.graph import Graph
from netdsl.ops import ALL
from netdsl.ops.base import Op
from netdsl.ops.noise import Dropout, DropPath
from netdsl.ops.norm import BatchNorm
from netdsl.passes.expand import WHOLE, Expand
from netdsl.passes.hoist import Hoist
from netdsl.passes.manager import run_passes
from netdsl.passes.pipeline import CHANNELS_LAST
from netdsl.tensor import DType

NETS = 1000
"""All of them; a fault is to be seen in one of those that have the operator, of TRIES at most."""
TRIES = 150
GONE = (Dropout, DropPath, BatchNorm)
"""Operators that the passes always take away: their lowerings are reached without passes alone."""
PLANTED = [(op, name) for table in (TAKEN_FOR, READ) for op, found in table.items() for name in found]


def test_every_operator_has_a_fault() -> None:
    assert {op for op, _ in PLANTED} == set(ALL) - WHOLE


@cache
def graph_of(net: int) -> Graph:
    return read(sample()[net])


@cache
def wanted(net: int) -> tuple[Any, ...]:
    return tuple(torch_results(sample()[net], draw_data(sample()[net])))


@cache
def nets_with() -> dict[type[Op], list[int]]:
    """Which nets have each operator, as the text has it or as the passes leave it."""
    found: dict[type[Op], list[int]] = {op: [] for op in ALL}
    for number, net in enumerate(sample()[:NETS]):
        optimized, _ = run_passes(graph_of(number), CHANNELS_LAST)
        for op in {*map(type, net.trace.resolved()), *(type(node.op) for node in optimized.walk())} & set(found):
            found[op].append(number)
    return found


def disagrees(number: int, op: type[Op]) -> bool:
    """Whether the module of a net computes something else than PyTorch; one that crashes computes nothing."""
    net: RandomNet = sample()[number]
    options = {"passes": (Expand(), Hoist())} if op in GONE else {}
    try:
        found = module_results(graph_of(number), draw_data(net), DType.FLOAT64, **options)
    except Exception:
        return False
    return max(difference(*pair) for pair in zip(found, wanted(number), strict=True)) > EXACT


def plant(op: type[Op], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the lowering of an operator wrong."""
    if name in READ.get(op, {}):
        monkeypatch.setitem(LOWERINGS, op, READ[op][name](LOWERINGS[op]))
        return
    fault = TAKEN_FOR[op][name]
    if op in LOWERINGS:
        lowering = LOWERINGS[op]
        monkeypatch.setitem(
            LOWERINGS, op, lambda item, node: lowering(fault(item, (node.inputs or node.outputs)[0].type.shape), node)
        )
        return
    steps = planner.steps_of

    def faulty(item: Op, inputs: Any, *rest: Any) -> Any:
        return steps(fault(item, inputs[0].type.shape) if type(item) is op else item, inputs, *rest)

    monkeypatch.setattr(planner, "steps_of", faulty)


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.skipif(torch is None, reason="PyTorch is the oracle, and it is not installed")
@pytest.mark.parametrize(("op", "name"), PLANTED, ids=lambda value: getattr(value, "word", value))
def test_a_fault_is_seen(op: type[Op], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = nets_with()[op][:TRIES]
    plant(op, name, monkeypatch)
    assert any(disagrees(number, op) for number in candidates)
