"""The documents tell the truth: what stands under a command in a console block is what that command prints.

A block of the language whose first line is a comment that names a file (`# tiny.net ...`) is that file for the
commands after it, and a block of Python runs as it stands. In an output, a line `...` stands for any lines.
`python tests/examples/test_documents.py` writes outputs without such lines anew; read the difference before keeping it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "docs/onnx.md", "examples/lectures/README.md")
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = {"netdsl": ["-m", "netdsl"], "python": []}
ANYTHING = "...\n"


def prepare(folder: Path) -> None:
    """A folder to work in, with the examples where the documents have them."""
    (folder / "examples").symlink_to(ROOT / "examples", target_is_directory=True)


def run(command: str, folder: Path) -> str:
    """What a command prints."""
    program, *arguments = command.split()
    return python([*PROGRAMS[program], *arguments], folder)


def python(arguments: list[str], folder: Path) -> str:
    """What Python prints, messages and data together, without blanks at the ends of lines."""
    path = os.pathsep.join((os.path.dirname(sys.executable), os.environ.get("PATH", "")))  # as in an active environment
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "NO_COLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def blocks(text: str) -> Iterator[re.Match[str]]:
    return FENCED.finditer(text)


def commands(content: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output under it."""
    parts = re.split(r"^\$ (.*)\n", content, flags=re.MULTILINE)
    assert parts[0] == "", "a console block begins with a command"
    return list(zip(parts[1::2], parts[2::2], strict=True))


def matches(shown: str, printed: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in ("\n" + shown).split("\n" + ANYTHING))
    return re.fullmatch(pattern.replace(".*", r"\n(?:.*\n)*"), "\n" + printed) is not None


def place(content: str, folder: Path) -> None:
    """Write a block of the language that names its file."""
    named = re.match(r"# (\w+\.net)\b", content)
    if named:
        (folder / named[1]).write_text(content, encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_output_is_what_the_command_prints(document: str, tmp_path: Path) -> None:
    prepare(tmp_path)
    count = 0
    for block in blocks((ROOT / document).read_text(encoding="utf-8")):
        if block[1] == "net":
            place(block[2], tmp_path)
        elif block[1] == "python":
            assert python(["-W", "error", "-c", block[2]], tmp_path) == ""
        elif block[1] == "console":
            for command, shown in commands(block[2]):
                printed = run(command, tmp_path)
                assert matches(shown, printed), f"{document}: {command} prints\n{printed}"
                count += 1
    assert count > 0


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    path = ROOT / document
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_path_that_the_architecture_names_exists() -> None:
    """From the root, from a package, or beside the path named before it."""
    before, missing = ROOT, []
    for name in re.findall(
        r"`([\w/]+(?:/|\.(?:py|md|json|lark|toml)))`", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    ):
        if not any((folder / name).exists() for folder in (ROOT, ROOT / "netdsl", ROOT / "codegen", before)):
            missing.append(name)
        if "/" in name and (ROOT / name).exists():
            before = ROOT / name if (ROOT / name).is_dir() else (ROOT / name).parent
    assert missing == []


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\nc\n", False),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\nd\n", "a\nb\nc\n", False),
        ("...\nd\n", "a\nd\n", True),
        ("a\n...\n", "a\nb\n", True),
        ("a\n...\n", "b\n", False),
        ("a.c\n", "abc\n", False),
    ],
)
def test_the_comparison_itself(shown: str, printed: str, same: bool) -> None:
    assert matches(shown, printed) is same


def updated(text: str, folder: Path) -> str:
    """The document with its outputs written anew."""

    def anew(block: re.Match[str]) -> str:
        if block[1] == "net":
            place(block[2], folder)
        if block[1] != "console":
            return block[0]
        parts = []
        for command, shown in commands(block[2]):
            printed = run(command, folder)
            parts.append(f"$ {command}\n{shown if ANYTHING in shown else printed}")
        return "```console\n" + "".join(parts) + "```"

    return FENCED.sub(anew, text)


if __name__ == "__main__":
    for name in DOCUMENTS:
        with tempfile.TemporaryDirectory() as temporary:
            prepare(Path(temporary))
            path = ROOT / name
            path.write_text(updated(path.read_text(encoding="utf-8"), Path(temporary)), encoding="utf-8")
