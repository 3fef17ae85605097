"""The standard library: formatted, and nothing in it that only one file of the examples uses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import netdsl
from netdsl.cli.main import main

LIBRARY = Path(netdsl.__file__).parent / "std"
EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(LIBRARY.glob("*.net"))


def users(file: Path) -> list[Path]:
    """The files that say `use "std/..."` of this one."""
    everything = [*FILES, *EXAMPLES.rglob("*.net")]
    return [path for path in everything if f'use "std/{file.name}"' in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_formatted_and_begins_with_what_it_is(file: Path) -> None:
    assert main(["fmt", "--check", str(file)]) == 0
    assert file.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_several_files_use_it(file: Path) -> None:
    assert len(users(file)) > 1


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_block_has_a_user(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    others = "\n".join(path.read_text(encoding="utf-8") for path in users(file))
    for block in re.findall(r"^block (\w+)", text, re.MULTILINE):
        assert re.search(rf"(?<!block )\b{block}\b", others) or len(re.findall(rf"\b{block}\b", text)) > 1


def test_a_mistake_in_a_call_names_the_library_s_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "a.net"
    program.write_text('use "std/blocks.net"\nnet A { input image: 3x8x8; cbr(4, 9, same=false) }\n', encoding="utf-8")
    assert main(["check", str(program)]) == 1
    error = capsys.readouterr().err
    assert "std/blocks.net:" in error
    assert "a.net:2:" in error
