"""What a terminal gets: colours, a table that fits, a sign of life; and what a pipe gets: none of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netdsl.cli import progress

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are Unix", allow_module_level=True)

import fcntl
import pty
import struct
import termios

ROOT = Path(__file__).parents[2]
BAD = "net Bad {\n  input image: 3x8x8\n  cnov 8 k3\n}\n"
GOOD = "net Good {\n  input image: 3x8x8\n  conv 8 k3 p1 -> relu\n}\n"


def on_a_terminal(folder: Path, words: list[str], columns: int = 200, **environment: str) -> str:
    """Everything that a command line writes to a terminal of this width."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    clean = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    child = subprocess.Popen(
        [sys.executable, "-m", "netdsl", *words],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(ROOT), "TERM": "xterm", **environment},
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    written = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not part:
            break
        written += part
    os.close(leader)
    child.wait()
    return written.decode().replace("\r\n", "\n")


def test_colours(tmp_path: Path) -> None:
    (tmp_path / "bad.net").write_text(BAD)
    assert "\x1b[1;31merror[E0201]\x1b[0m" in on_a_terminal(tmp_path, ["check", "bad.net"])
    assert "\x1b" not in on_a_terminal(tmp_path, ["check", "bad.net"], NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(tmp_path, ["check", "bad.net"], TERM="dumb")


def test_the_table_fits(tmp_path: Path) -> None:
    (tmp_path / "good.net").write_text(GOOD)
    wide = on_a_terminal(tmp_path, ["summary", "good.net"])
    assert "FLOPs" in wide.splitlines()[3]
    narrow = on_a_terminal(tmp_path, ["summary", "good.net"], columns=60)
    rows = narrow.splitlines()[3:8]
    assert max(map(len, rows)) <= 60
    assert "Left out for want of room: FLOPs" in narrow


def test_a_sign_of_life_after_a_second(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "WAIT", 0.05)
    with progress.progress("computing"):
        time.sleep(0.15)
    assert capsys.readouterr().err == "", "none without a terminal"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress.progress("computing"):
        for _ in range(1000):  # at most, and as soon as the thread comes to it
            if shown := capsys.readouterr().err:
                break
            time.sleep(0.02)
    assert re.search(r"computing \.\.\. \d+ s", shown)
    shown += capsys.readouterr().err
    assert shown.endswith("\r\x1b[K"), "nothing stays"
    monkeypatch.setattr(progress, "WAIT", 60)
    with progress.progress("computing"):
        pass
    assert capsys.readouterr().err == "", "none for what is quick"
