"""The command line in this process, in an empty folder."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from netdsl.cli.main import main

TINY = """net Tiny(width = 4) {
  input image: 3x8x8
  conv width k3 p1 -> relu
  flatten -> fc 10
}
"""


class Result(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETDSL_TRACEBACK", "1")
    (tmp_path / "tiny.net").write_text(TINY)
    return tmp_path


@pytest.fixture
def netdsl(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command line; `stdin` is what it reads there."""

    def run(*words: str, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        try:
            status = main(list(words))
        except SystemExit as exit:
            status = exit.code if isinstance(exit.code, int) else 1
        out, err = capsys.readouterr()
        return Result(status, out, err)

    return run


@pytest.fixture
def tiny() -> str:
    """The text of `tiny.net`."""
    return TINY
