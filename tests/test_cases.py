"""Golden cases: `tests/cases/**/*.txt`, one program a file, in sections; those that a file names are checked.

    --- source ---        the program, called case.net
    --- options ---       words of the command line: `--net B --set width=8 --depth 1`
    --- diagnostics ---   every error and warning, as a terminal without colours shows them
    --- summary ---       the table
    --- ir ---            the graph as it is elaborated
    --- numpy ---         the plan of the NumPy module: kernels, launches, buffers
    --- triton ---        the plan of the Triton module

`pytest tests/test_cases.py --update-golden` rewrites what no longer holds; a new case needs its source and the empty
sections that it wants. Read the difference before committing it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from netdsl import backends, driver, explain, render
from netdsl.analysis import table
from netdsl.analysis.summary import summarise
from netdsl.cli import common
from netdsl.diagnostics import NetError, Report
from netdsl.ir.graph import Graph
from netdsl.ir.text import dump

CASES = Path(__file__).parent / "cases"
MARK = re.compile(r"^--- (\w+) ---\n", re.MULTILINE)


def sections(text: str) -> dict[str, str]:
    """The sections of a case by name, in order."""
    _, *parts = MARK.split(text)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def outcomes(source: str, options: str, wanted: set[str]) -> dict[str, str]:
    """What the compiler makes of a program, for the sections that are wanted."""
    parser = common.Parser("summary", "")
    parser.add_file()
    parser.add_argument("--depth", type=int)
    words = parser.parse(["case.net", *shlex.split(options)])
    Path("case.net").write_text(source)
    report = Report()
    made: dict[str, Callable[[Graph], str]] = {
        "summary": lambda graph: table.text(summarise(graph, depth=words.depth)),
        "ir": lambda graph: dump(graph) + "\n",
        "numpy": lambda graph: backends.generate(graph, "numpy", "float32").plan.rstrip() + "\n",
        "triton": lambda graph: backends.generate(graph, "triton", "float16").plan.rstrip() + "\n",
    }
    result = {}
    try:
        graph = driver.build(common.request_of(words), report)
        result = {name: make(graph) for name, make in made.items() if name in wanted}
        found = report.diagnostics
    except NetError as error:
        found = error.diagnostics
    result["diagnostics"] = render.full(found)
    return result


@pytest.mark.parametrize("path", sorted(CASES.rglob("*.txt")), ids=lambda path: str(path.relative_to(CASES)))
def test_case(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.chdir(tmp_path)
    case = sections(path.read_text())
    wanted = set(case) - {"source", "options"}
    found = outcomes(case["source"].rstrip("\n") + "\n", case.get("options", ""), wanted)
    compared = {name: found.get(name, "").rstrip("\n") for name in wanted}
    if request.config.getoption("--update-golden"):
        case |= compared
        path.write_text("\n".join(f"--- {name} ---\n{text.rstrip()}\n" for name, text in case.items()))
    for name in case:
        if name in wanted:
            assert compared[name] == case[name].rstrip("\n"), f"section {name} of {path.name}"
    assert "diagnostics" in wanted or "error[" not in found["diagnostics"], found["diagnostics"]


def test_every_code_that_a_program_can_give_has_a_case() -> None:
    for code in explain.pages():
        for example in explain.examples(explain.page(code) or "", "net bad")[:1]:
            case = sections((CASES / "codes" / f"{code}.txt").read_text())
            assert case["source"].strip() == example.strip(), f"the case of {code} is not its page's example"
            assert f"[{code}]" in case["diagnostics"]


def test_every_case_has_a_source_and_checks_something() -> None:
    known = {"source", "options", "diagnostics", "summary", "ir", "numpy", "triton"}
    for path in CASES.rglob("*.txt"):
        case = sections(path.read_text())
        assert "source" in case, path
        assert set(case) <= known, path
        assert set(case) - {"source", "options"}, path
