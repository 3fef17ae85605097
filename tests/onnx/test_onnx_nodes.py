"""The onnx package's tests of single nodes: each passes, or says why not, as the checked-in table has it."""

from __future__ import annotations

import warnings

import pytest

pytest.importorskip("onnx", reason="reads ONNX models")

from node_cases import FAMILIES, PASSED, TABLE, cases, verdict

OPERATORS = [operator for operators in FAMILIES.values() for operator in operators.split()]


def told() -> dict[str, str]:
    """The last column of the table, by case."""
    lines = [line.strip("| ").split(" | ") for line in TABLE.read_text().splitlines() if line.startswith("| ")]
    return {parts[1]: parts[2] for parts in lines if len(parts) == 3 and parts[0] in OPERATORS}


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_case_does_what_the_table_says(operator: str) -> None:
    table = told()
    for case in cases():
        if case.operator == operator:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # some cases divide by zero on purpose
                found = verdict(case)
            assert not found.text.startswith("WRONG")
            assert table[case.name].split("; bound: ")[0] == found.text


def test_at_least_95_of_100_pass() -> None:
    table = told()
    assert set(table) == {case.name for case in cases()}
    passed = sum(text.split("; bound: ")[0] == PASSED for text in table.values())
    assert passed >= 0.95 * len(table)


def test_the_table_says_how_many() -> None:
    text = TABLE.read_text()
    passed = sum(line.split("; bound: ")[0] == PASSED for line in told().values())
    assert f"| all | {passed} | {len(cases())} |" in text
