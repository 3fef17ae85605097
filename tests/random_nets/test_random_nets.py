"""A thousand random nets: no crash, and no disagreement between reference, passes, NumPy modules and PyTorch.

NETDSL_RANDOM_NETS asks for another number, and NETDSL_RANDOM_SEED for others.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_args

import pytest
from generator import RandomNet, nets
from hypothesis import HealthCheck, Phase, given, seed, settings
from net_checks import check, read, torch

from netdsl.diagnostics import Report
from netdsl.ops import ALL
from netdsl.ops.attention import Attend
from netdsl.ops.base import Op
from netdsl.ops.each import Each, Regroup
from netdsl.ops.norm import BatchNormScale
from netdsl.ops.pool import AdaptivePool
from netdsl.ops.recurrent import Recurrence
from netdsl.ops.sequence import SineTable
from netdsl.ops.shape import Relayout
from netdsl.passes.manager import run_passes
from netdsl.passes.pipeline import CHANNELS_LAST
from netdsl.source import Source
from netdsl.syntax import ast
from netdsl.syntax.parse import parse

NETS = int(os.environ.get("NETDSL_RANDOM_NETS", "1000"))
SEED = int(os.environ.get("NETDSL_RANDOM_SEED", "1"))
COARSE = 0.05
"""Most nets of which float32 is too coarse to ask."""


def for_all(count: int, judge: Callable[[RandomNet], None], phases: tuple[Phase, ...] = (Phase.generate,)) -> None:
    """Call `judge` with `count` random nets, the same in every run."""

    @seed(SEED)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    @given(nets())
    def run(net: RandomNet) -> None:
        judge(net)

    run()


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.skipif(torch is None, reason="PyTorch is the oracle, and it is not installed")
def test_random_nets_agree() -> None:
    asked: Counter[bool] = Counter()
    for_all(NETS, lambda net: asked.update([check(net)]), (Phase.generate, Phase.shrink))
    assert asked.total() >= NETS
    assert asked[False] <= COARSE * asked.total()


# What the nets reach.


@cache
def sample() -> tuple[RandomNet, ...]:
    found: list[RandomNet] = []
    for_all(max(NETS, 1000), found.append)
    return tuple(found)


MADE_BY_PASSES = (BatchNormScale, Recurrence, Relayout, Attend, SineTable)


def test_every_operator_is_reached() -> None:
    counted = Counter(type(layer.op) for net in sample() for layer in net.trace.layers)
    counted.update(type(op) for net in sample() for op in net.trace.resolved())
    for net in sample():
        graph, _ = run_passes(read(net), CHANNELS_LAST)
        counted.update(type(node.op) for node in graph.walk() if not node.op.written)
    assert {op.word: counted[op] for op in ALL if counted[op] < 10} == {}
    assert {op for op in ALL if not op.written} == {AdaptivePool, Each, Regroup, *MADE_BY_PASSES}


@pytest.mark.parametrize("op", [op for op in ALL if op.written], ids=lambda op: op.word)
def test_every_attribute_takes_every_kind_of_value(op: type[Op]) -> None:
    """Values other than the default, every choice of a word, one value for all axes and one for each."""
    layers = [layer for net in sample() for layer in net.trace.layers if type(layer.op) is op]
    for attr in op.schema():
        counted = Counter(getattr(layer.op, attr.name) for layer in layers)
        others = counted.total() - (0 if attr.required else counted[attr.default])
        assert others >= 5, f"{op.word}.{attr.name} is other than {attr.default} {others} times"
        for choice in attr.choices:
            assert counted[choice] >= 5, f"{op.word}.{attr.name} is {choice} {counted[choice]} times"
        if attr.name in ("kernel", "stride", "padding", "dilation", "outpad"):
            lengths = {len(value) for value in counted if value}
            assert {1, 2} <= lengths, f"{op.word}.{attr.name} has {lengths} values"
            assert attr.name != "padding" or op.word == "unpool" or 4 in lengths


def test_every_join_has_branches() -> None:
    counted = forms()
    joins = [op.word for op in ALL if op.written and op.operands[0] >= 2]
    assert {word: counted[f"branches: {word}"] for word in joins if counted[f"branches: {word}"] < 5} == {}


FORMS = """
arrow | arrow at a line break | semicolon | comment | as | let of a tensor | let of a number | assert | several results
as of a family | let of a family | family joined | family looped over | family member | family | table
over_rows
branches | branch: it | branch: a gate | branch: a named tensor | branch: layers
skip | skip via | skip when=true | skip when=false | skip via when=true | skip via when=false | skip with a projection
choice | if | else if | else | repeat | loop
for: list | for: range | for: reversed | for: list arithmetic | for: zip | for: enumerate | for: rows
block_call | conditional_block | input_block | over_blocks | number as a parameter | boolean as a parameter
string as a parameter | list as a parameter | word as a parameter | block as a parameter | default taken
argument by position | argument by name | family as an argument | list of tensors as an argument
shared_layer | shared operator | shared block | shared: chained | shared: on a name | shared: in a let
param = list | param = 1 | param = 0.5 | param = normal | param = uniform | shape spaced | shape closed up
shape checked, closed up | shape checked, spaced | layer called in an expression | layers on weights alone
regions | best_rows | boxes_that_stay
it left out | it said | it last | it twice | three operands | from_a_name | aside | arithmetic
with_named | with_param | divided | chosen | raised | places | product | joined_end_to_end | several | cut_like
crop like another
modulated | carried | attended | memory of attention | mask of attention | tied | tied to a table
value by position | short name | long name | glued | glued extents | extents by name | list as a value | flag
flag with a value | field of a flag | word by name | word as a string | expression as a value | expression as a flag
input of 1 axes | input of 2 axes | input of 3 axes | input of 4 axes | input of whole numbers | input of booleans
input of a family
net with parameters | set from outside | used file | output | output left out | output of a family
output of whole numbers | two output statements
"""


@cache
def forms() -> Counter[str]:
    return sum((net.forms for net in sample()), Counter())


def test_every_form_is_reached() -> None:
    wanted = {form.strip() for line in FORMS.strip().splitlines() for form in line.split("|")}
    counted = forms()
    assert {form: counted[form] for form in wanted if counted[form] < 5} == {}
    assert {form for form in counted if not form.startswith("branches: ")} == wanted


UNIONS = (ast.Statement, ast.Link, ast.Expr)


def test_every_node_of_the_syntax_is_reached() -> None:
    """Counted in what the parser makes of the texts, whatever the generator says."""
    counted: Counter[type] = Counter()
    for net in sample():
        for name, text in (("net.net", net.text), *net.used.items()):
            counted.update(type(node) for node in nodes(parse(Source(name, text), Report())))
    kinds = {ast.Use, ast.Parameter, *(kind for union in UNIONS for kind in get_args(union))}
    assert {kind.__name__: counted[kind] for kind in kinds if counted[kind] < 5} == {}


def nodes(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for item in value:
            yield from nodes(item)
    elif is_dataclass(value) and type(value).__module__ == ast.__name__:
        yield value
        for field in fields(value):
            yield from nodes(getattr(value, field.name))
