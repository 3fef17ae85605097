"""What operators say of their attributes: complete, documented, and spelled so that no two can be confused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from inspect import getmodule
from typing import Any

import pytest

from netdsl.ops import ALL, BY_WORD
from netdsl.ops.base import AttrKind, Op

GLUED = set("ksdpg")
WRITTEN = [op for op in ALL if op.written]


@pytest.mark.parametrize("op", ALL)
def test_every_operator_has_a_reference_page_of_its_own(op: type[Op]) -> None:
    assert "__doc__" in vars(op)
    assert op.__doc__
    summary = op.__doc__.strip().split("\n")[0]
    assert summary.endswith((".", ":"))
    assert "Cost:" in op.__doc__, "a reference page states the FLOP rule"


@pytest.mark.parametrize("op", ALL)
def test_every_attribute_is_documented(op: type[Op]) -> None:
    for attribute in op.schema():
        assert attribute.doc
        assert not attribute.doc.endswith(".")
        assert (attribute.kind is AttrKind.WORD) == bool(attribute.choices)
        assert (attribute.kind is AttrKind.FLAG) == bool(attribute.flag)
        if attribute.kind is AttrKind.FLAG:
            assert isinstance(attribute.default, bool)


@pytest.mark.parametrize("op", ALL)
def test_no_two_attributes_have_the_same_spelling(op: type[Op]) -> None:
    spellings = [
        spelling for item in op.schema() for spelling in {item.name, item.short, item.flag, *item.choices} if spelling
    ]
    assert len(spellings) == len(set(spellings))
    for item in op.schema():
        assert item.short is None or item.short in GLUED
        assert item.name not in GLUED or item.positional, "the letter would be glued to its number"


@pytest.mark.parametrize("op", ALL)
def test_positional_values_that_are_needed_come_first(op: type[Op]) -> None:
    needed = [item.required for item in op.schema() if item.positional]
    assert needed == sorted(needed, reverse=True)


def test_words_are_unique() -> None:
    assert len(ALL) == len(set(ALL)) == len(BY_WORD)
    assert {op.word: op for op in ALL} == BY_WORD


def test_all_holds_every_operator_there_is() -> None:
    def leaves(op: type[Op]) -> set[type[Op]]:
        below = set().union(*(leaves(child) for child in op.__subclasses__()))
        return below | ({op} if "word" in vars(op) else set())

    assert {op for op in leaves(Op) if _module(op).startswith("netdsl.ops.")} == set(ALL)


def _module(op: type[Op]) -> str:
    module = getmodule(op)
    assert module
    return module.__name__


@pytest.mark.parametrize("op", ALL)
def test_operators_are_values(op: type[Op]) -> None:
    """Equal fields make equal operators with equal hashes, and nothing changes them."""
    for sample in op.samples():
        one = sample.op
        other = replace(one)
        assert one == other
        assert hash(one) == hash(other)
        assert repr(one) == repr(other)
        for item in op.schema():
            with pytest.raises(FrozenInstanceError):
                setattr(other, item.name, getattr(other, item.name))
            with pytest.raises(FrozenInstanceError):
                delattr(other, item.name)
        with pytest.raises(FrozenInstanceError):
            other.unheard_of = 1  # type: ignore[attr-defined]
        assert one == other


def test_operators_of_different_kinds_differ() -> None:
    plain: list[Any] = [op() for op in ALL if not any(item.required for item in op.schema())]
    assert len(set(plain)) == len(plain) > 30


def test_one_changed_field_makes_a_different_operator() -> None:
    for op in ALL:
        for item in op.schema():
            if item.kind is AttrKind.FLAG:
                one = op.samples()[0].op
                changed: Any = {item.name: not getattr(one, item.name)}
                assert replace(one, **changed) != one


def test_operators_load_no_library() -> None:
    """Parsing, checking and counting need no NumPy, and must start at once."""
    code = "import sys, netdsl.ops; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "netdsl.ops.conv" in loaded
    assert not {"numpy", "torch", "triton", "jinja2", "lark", "safetensors"} & set(loaded)
