"""Nets without a public implementation equal modules written from their papers."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
from equality import EXAMPLES, Case, check_equal, counted, own_totals, prepared
from public import INDEX

import netdsl

pytest.importorskip("torch", reason="the modules are PyTorch's")
pytestmark = pytest.mark.torch

FILES = sorted(path.stem for path in Path(__file__).with_name("handwritten").glob("[a-z]*.py"))
ALONE = {entry["net"]: entry for entry in INDEX if not entry["equals"] and "/" not in entry["file"]}
"""The nets that no library has; the lectures' exercises have tests of their own."""


@pytest.fixture(scope="session")
def cases(models: ModuleType) -> dict[str, Case]:
    found: dict[str, Case] = {}
    for file in FILES:
        more = importlib.import_module(f"handwritten.{file}").CASES
        assert not found.keys() & more.keys()
        found |= more
    return found


def test_every_net_has_a_module_of_one_kind(cases: dict[str, Case]) -> None:
    assert sorted(cases) == sorted(ALONE)


@pytest.mark.parametrize("name", ALONE)
def test_reference_and_module_equal_the_handwritten_one(name: str, cases: dict[str, Case], tmp_path: Path) -> None:
    case = cases[name]
    path = str(EXAMPLES / ALONE[name]["file"])
    net = netdsl.load(path, net=name, shape=dict(case.shapes), **case.settings)
    check_equal(net, prepared(case.build), tmp_path, case.mapping)


@pytest.mark.parametrize("name", ALONE)
def test_totals_are_what_pytorch_counts(name: str, cases: dict[str, Case]) -> None:
    case = cases[name]
    settings = {} if case.full else case.settings
    net = netdsl.load(str(EXAMPLES / ALONE[name]["file"]), net=name, **settings)
    found = own_totals(net)
    wanted = counted(case.full or case.build, [value.type for value in net.graph.inputs])
    assert {name: found[name] for name in wanted} == wanted


def test_googlenet_with_its_auxiliary_heads(models: ModuleType, tmp_path: Path) -> None:
    case = importlib.import_module("handwritten.googlenet").HEADS
    net = netdsl.load(str(EXAMPLES / "googlenet.net"), shape=dict(case.shapes), **case.settings)
    check_equal(net, prepared(case.build), tmp_path, case.mapping)
