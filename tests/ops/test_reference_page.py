"""The operator reference: nothing that a user may write is missing, and the document in docs/ is current.

`python -m pytest tests/ops/test_reference_page.py --update-golden` writes the document anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from netdsl.ops import ALL, BY_WORD
from netdsl.ops.base import Op
from netdsl.ops.reference_page import document, index, page, spelling, summary, usage

DOCUMENT = Path(__file__).parents[2] / "docs" / "operators.md"
WRITTEN = [op for op in ALL if op.written]


def test_the_document_is_current(request: pytest.FixtureRequest) -> None:
    text = document(WRITTEN)
    if request.config.getoption("--update-golden"):
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(text, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == text, "run this test with --update-golden"


@pytest.mark.parametrize("op", WRITTEN)
def test_a_page_has_every_attribute_and_the_cost(op: type[Op]) -> None:
    text = page(op)
    assert text.startswith(f"# {op.word}\n")
    assert "Cost:" in text
    for item in op.schema():
        assert item.doc in text
        assert spelling(item) in usage(op)
        assert all(choice in usage(op) for choice in item.choices)
    assert all(len(line) <= 120 for line in text.splitlines())


@pytest.mark.parametrize("op", WRITTEN)
def test_a_summary_is_one_short_sentence(op: type[Op]) -> None:
    assert 0 < len(summary(op)) <= 120
    assert "Cost" not in summary(op)
    assert "\n" not in summary(op)


def test_the_index_lists_every_word_in_order() -> None:
    assert [line.split()[0] for line in index(WRITTEN).splitlines()] == sorted(op.word for op in WRITTEN)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("conv", "conv OUT kK [sS] [pP] [dD] [gG] [same] [nobias]"),
        ("relu", "relu"),
        ("clamp", "clamp LOW HIGH"),
        ("upsample", "upsample [nearest|bilinear] [sS] [to=TO] [corners]"),
        ("upconv", "upconv OUT kK [sS] [pP] [dD] [outpad=OUTPAD] [gG] [nobias]"),
    ],
)
def test_usage(word: str, expected: str) -> None:
    assert usage(BY_WORD[word]) == expected


def test_operands_and_weights_are_on_the_page() -> None:
    assert "Operands: 1 or 2; with one left out in parentheses, `it` is the second." in page(BY_WORD["crop"])
    assert "Operands: 2 or more" in page(BY_WORD["add"])
    assert "Operands" not in page(BY_WORD["relu"])
    assert "Weights: `weight: out x features`" in page(BY_WORD["fc"])
    assert "Weights" not in page(BY_WORD["pool"]).replace("weights", "")
