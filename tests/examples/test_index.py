"""The list of examples is complete, and every example is what its list entry and its first comment say."""

import json
import re
from pathlib import Path

import pytest
from pace import within

import netdsl
from netdsl.cli.main import main
from netdsl.diagnostics import Report
from netdsl.driver import read_program
from netdsl.elaborate import nets
from netdsl.limits import DEFAULT_LIMITS

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.net"))
INDEX = json.loads((EXAMPLES / "index.json").read_text(encoding="utf-8"))
FLAWS = {
    "hrnet.net": {"W0005"},
    "m5.net": {"W0001"},
    "lectures/sizes.net": {"W0001"},
    "nin.net": {"W0001"},
    "squeezenet.net": {"W0001"},
    "vgg.net": {"W0005"},
}
"""Warnings that the original deserves, and a comment of the example says so."""
KEYS = ["file", "net", "paper", "year", "equals"]


def test_the_index_lists_every_net_of_every_file_once() -> None:
    found = [
        (file, net.name.name)
        for file in FILES
        for net in nets(read_program(str(EXAMPLES / file), Report(), DEFAULT_LIMITS))
    ]
    assert sorted((entry["file"], entry["net"]) for entry in INDEX) == sorted(found)


def test_every_entry_has_the_same_keys() -> None:
    assert all(list(entry) == KEYS for entry in INDEX)


@pytest.mark.parametrize("entry", INDEX, ids=lambda entry: entry["net"])
def test_every_net_is_summarised_at_once(entry: dict[str, str]) -> None:
    with within(1):
        totals = netdsl.load(str(EXAMPLES / entry["file"]), net=entry["net"]).summary().to_dict()["totals"]
    assert totals["layers"] > 0


@pytest.mark.parametrize("file", FILES)
def test_the_first_comment_names_who_and_when(file: str) -> None:
    comment = []
    for line in (EXAMPLES / file).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        comment.append(line)
    assert re.search(r"\b(19|20)\d\d\b", " ".join(comment)) or file == "lectures/average.net"


@pytest.mark.parametrize("file", FILES)
def test_every_file_is_formatted(file: str) -> None:
    assert main(["fmt", "--check", str(EXAMPLES / file)]) == 0


@pytest.mark.parametrize("file", FILES)
def test_only_flaws_of_the_original_give_a_warning(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = EXAMPLES / file
    assert main(["check", str(path)]) == 0
    found = set(re.findall(r"warning\[(\w+)\]", capsys.readouterr().err))
    assert found == FLAWS.get(file, set())
    text = path.read_text(encoding="utf-8")
    assert not found or "`netdsl check`" in " ".join(line for line in text.splitlines() if line.startswith("#"))


def definition(text: str, kind: str, name: str) -> list[str]:
    """The lines of one block or net: one, or all to the brace that stands alone."""
    found = re.search(rf"^{kind} {name}\b(?:.*}}$|(?:.*\n)*?}}$)", text, re.MULTILINE)
    assert found
    return found[0].splitlines()


def test_resnet50_takes_at_most_thirty_lines() -> None:
    text = (EXAMPLES / "resnet.net").read_text(encoding="utf-8")
    blocks = ("project", "bottleneck", "resnet")
    lines = sum(len(definition(text, "block", name)) + 1 for name in blocks) + len(definition(text, "net", "ResNet50"))
    assert lines == 23  # as README.md says; at most 30


def test_lenet5_takes_at_most_ten_lines() -> None:
    assert len((EXAMPLES / "lenet5.net").read_text(encoding="utf-8").splitlines()) == 8  # as README.md says; at most 10
