"""What wrong, broken and hostile input gets: a message with a code, a place, soon, in little memory; nothing else."""

from __future__ import annotations

import ast
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 2.0
MEGABYTES = 512

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="measures with getrusage")


# A small process between: what a child is said to take at most counts what it was forked from, and a test run may hold
# gigabytes.
MEASURE = """
import os, resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
kilobytes = usage.ru_maxrss // 1024 if sys.platform == "darwin" else usage.ru_maxrss
with open(os.environ["USAGE"], "w") as file:
    file.write(f"{usage.ru_utime + usage.ru_stime} {kilobytes}")
sys.exit(status)
"""


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


def netdsl(folder: Path, *words: str) -> Outcome:
    """Run a command line in a process of its own, and check what holds for every input."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    out, err = folder.parent / "out", folder.parent / "err"
    with out.open("wb") as to_out, err.open("wb") as to_err:
        measured = subprocess.run(
            [sys.executable, "-c", MEASURE, sys.executable, "-m", "netdsl", *words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=to_out,
            stderr=to_err,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "OPENBLAS_NUM_THREADS": "1",
                "USAGE": str(folder.parent / "usage"),
            },
            check=False,
        )
    outcome = Outcome(measured.returncode, out.read_text(errors="replace"), err.read_text(errors="replace"))
    seconds, kilobytes = map(float, (folder.parent / "usage").read_text().split())
    assert seconds < SECONDS, outcome
    assert kilobytes < MEGABYTES * 1024
    assert "Traceback" not in outcome.err
    assert "internal error" not in outcome.err
    assert outcome.status in (0, 1, 2, 3)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return outcome


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def net(body: str, before: str = "", size: str = "3x8x8") -> str:
    return f"{before}net Tiny {{\n  input image: {size}\n{body}\n}}\n"


REFUSED = {
    # What a person gets wrong.
    "a misspelt layer": (net("  cnov 64 k3"), 1, "E0201", "did you mean `conv`?"),
    "an unequal add": (net("  conv 8 k1 as a -> conv 4 k1 as b\n  add(a, b)"), 1, "E0303", "8x8x8"),
    "a residual body without padding": (net("  skip { conv 3 k3 }", size="3x56x56"), 1, "E0302", "p1"),
    "a block that uses itself": (net("  b", "block b { relu -> b }\n"), 1, "E0403", "itself"),
    "two blocks that use each other": (net("  a", "block a { relu -> b }\nblock b { relu -> a }\n"), 1, "E0403", ":2:"),
    "a float for channels": (net("  conv 64.0 k3"), 1, "E0", "64.0"),
    "a leading zero": (net("  conv 010 k3"), 1, "E01", "010"),
    "a multiplication sign": (net("  relu : 3×8×8"), 1, "E01", "U+00D7"),
    "a no-break space": (net("  conv\u00a08 k3"), 1, "E01", "U+00A0"),
    "an unfinished net": ("net Tiny {\n  input image: 3x8x8\n  relu\n", 1, "E01", ":"),
    "a kernel that does not fit": (net("  conv 8 k11"), 1, "E0301", "11"),
    # What runs away.
    "a huge repeat": (net("  repeat 1000000000000 { relu }"), 3, "E090", "more than"),
    "a huge empty loop": (net("  repeat 1000000000000 { let a = 1 }\n  relu"), 3, "E0908", "more than"),
    "a huge range": (net("  for i in range(1000000000000) { relu }"), 3, "E09", ""),
    "a huge power": (net("  conv 10 ** 10 ** 10 k3"), 3, "E0910", ""),
    "a huge number": (net("  conv " + "9" * 5000 + " k3"), 3, "E0910", ""),
    "a huge tensor": (net("  relu", size="4000000x4000000x4000000"), 3, "E0905", ""),
    "a huge weight": (net("  flatten -> fc 100000000000000"), 3, "E0905", ""),
    "doubling blocks": (
        net("  b40", "block b0 { relu }\n" + "".join(f"block b{i} {{ b{i - 1} -> b{i - 1} }}\n" for i in range(1, 41))),
        3,
        "E090",
        "",
    ),
    "deep calls": (
        net("  b2000", "block b0 { relu }\n" + "".join(f"block b{i} {{ b{i - 1} }}\n" for i in range(1, 2001))),
        3,
        "E090",
        "100",
    ),
    "deep braces": (net("  " + "skip { " * 20_000 + "relu" + " }" * 20_000), 3, "E0903", ""),
    "deep parentheses": (net("  conv " + "x=(" * 1 + "(" * 50_000 + "1" + ")" * 50_001), 3, "E0903", ""),
    "deep brackets": (net("  for i in " + "[" * 50_000 + "]" * 50_000 + " { relu }"), 3, "E0903", ""),
    "unclosed braces": ("{" * 250_000, 3, "E0903", ""),
    "many minus signs": (net("  let a = " + "-" * 50_000 + "1\n  relu"), 3, "E0903", ""),
    "many nots": (net("  assert " + "not " * 50_000 + "true\n  relu"), 3, "E0903", ""),
    "a long sum": (net("  let a = " + "1 + " * 50_000 + "1\n  relu"), 3, "E0903", ""),
    "a long power": (net("  let a = " + "1 ** " * 40_000 + "1\n  relu"), 3, "E0903", ""),
    "a long name": (net("  " + "a" * 200_000), 3, "E0902", ""),
    "many mistakes": (net("  cnov 8\n" * 10_000), 1, "E0201", "more"),
    # What tries to break out.
    "a format field": (net('  assert 1 == 2 : "{__class__.__mro__}"\n  relu'), 1, "E0", ""),
    "a file outside": ('use "../../../../etc/passwd"\n' + net("  relu"), 1, "E0617", ""),
    "an absolute file": ('use "/etc/passwd"\n' + net("  relu"), 1, "E0617", ""),
    "a library file outside": ('use "std/../../../../../../etc/passwd"\n' + net("  relu"), 1, "E0617", ""),
    "a device": ('use "/dev/zero"\n' + net("  relu"), 1, "E0617", ""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(folder: Path, name: str) -> None:
    text, status, code, said = REFUSED[name]
    (folder / "a.net").write_text(text)
    outcome = netdsl(folder, "check", "a.net")
    assert outcome.out == ""
    assert f"error[{code}" in outcome.err, outcome.err[:2000]
    assert said in outcome.err, outcome.err[:2000]
    assert outcome.status == status, outcome.err[:2000]
    assert outcome.err.splitlines()[1].strip().startswith("--> a.net:")
    assert outcome.err.count("error[") <= 20
    assert len(outcome.err) < 20_000


def test_an_empty_file_has_no_net(folder: Path) -> None:
    (folder / "a.net").write_text("")
    assert "E0612" in netdsl(folder, "summary", "a.net").err


BYTES = {
    "Latin-1": ("# caf\xe9\n" + net("  relu")).encode("latin-1"),
    "NUL": net("  relu").encode() + b"\0",
    "UTF-16": net("  relu").encode("utf-16"),
    "random bytes": bytes((i * 7919 + 13) % 256 for i in range(5000)),
    "a million braces": b"{" * 1_000_000,
    "ten megabytes of a name": net("  " + "a" * 10_000_000).encode(),
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_are_no_program(folder: Path, name: str) -> None:
    (folder / "a.net").write_bytes(BYTES[name])
    outcome = netdsl(folder, "check", "a.net")
    assert outcome.out == ""
    assert "error[E" in outcome.err
    assert "a.net" in outcome.err
    assert outcome.status == (3 if "m" in name.split() or "E0901" in outcome.err else 1)


def test_larger_files_are_read_only_when_asked_for(folder: Path) -> None:
    (folder / "a.net").write_bytes(BYTES["a million braces"])
    outcome = netdsl(folder, "check", "a.net", "--limit", "file_bytes=20000000")
    assert outcome.status == 3
    assert "E0903" in outcome.err
    (folder / "a.net").write_bytes(BYTES["ten megabytes of a name"])
    outcome = netdsl(folder, "check", "a.net", "--limit", "file_bytes=20000000")
    assert outcome.status == 3
    assert "E0902" in outcome.err


ACCEPTED = {
    "a byte order mark": "\ufeff" + net("  relu"),
    "DOS line ends": net("  relu").replace("\n", "\r\n"),
    "tabs": net("\tconv 8 k3\t->\trelu"),
    "strange names": net("  relu as __import__ -> relu as builtins"),
    "a long chain": net("  relu" + " -> relu" * 20_000),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(folder: Path, name: str) -> None:
    (folder / "a.net").write_bytes(ACCEPTED[name].encode())
    outcome = netdsl(folder, "check", "a.net")
    assert outcome.status == 0, outcome.err[:1000]


def test_columns_are_right_after_a_mark_dos_ends_and_tabs(folder: Path) -> None:
    (folder / "a.net").write_bytes(("\ufeff" + net("\trelu -> cnov 8")).replace("\n", "\r\n").encode())
    assert netdsl(folder, "check", "a.net").err.splitlines()[1].strip() == "--> a.net:3:10"


def test_what_is_no_file(folder: Path) -> None:
    (folder / "folder.net").mkdir()
    for name in ("missing.net", "folder.net", "nul\u2400.net", "/dev/zero"):
        outcome = netdsl(folder, "check", name)
        assert outcome.status in (1, 3)
        assert "error[E" in outcome.err
        assert outcome.out == ""


def test_links_lead_nowhere_else(folder: Path) -> None:
    (folder.parent / "secret.net").write_text("block b { relu }\n")
    (folder / "link.net").symlink_to("../secret.net")
    (folder / "a.net").write_text('use "link.net"\n' + net("  b"))
    outcome = netdsl(folder, "check", "a.net")
    assert outcome.status == 1
    assert "E0617" in outcome.err
    assert "secret" not in outcome.err


def test_files_that_use_each_other(folder: Path) -> None:
    (folder / "a.net").write_text('use "b.net"\n' + net("  b"))
    (folder / "b.net").write_text('use "a.net"\nuse "b.net"\nblock b { relu }\n')
    assert netdsl(folder, "check", "a.net").status == 0


def test_a_crowd_of_files(folder: Path) -> None:
    for number in range(150):
        (folder / f"u{number}.net").write_text(f'use "u{number + 1}.net"\n')
    (folder / "a.net").write_text('use "u0.net"\n' + net("  relu"))
    outcome = netdsl(folder, "check", "a.net")
    assert outcome.status == 3
    assert "E0913" in outcome.err


@pytest.mark.parametrize("name", ["class", "None", "__import__", "self", "np", "load", "_0"])
def test_names_change_identifiers_and_nothing_else(folder: Path, name: str) -> None:
    text = "net {0} {{\n  input {1}: 3x8x8\n  conv 3 k1 as {2} -> relu\n}}\n"
    (folder / "plain.net").write_text(text.format("Plain", "first", "second"))
    (folder / "strange.net").write_text(text.format("Plain", "first", name))
    if netdsl(folder, "check", "strange.net").status:
        return  # reserved by the language
    plain, strange = (netdsl(folder, "compile", f, "-o", "-").out for f in ("plain.net", "strange.net"))
    assert shape_of(plain) == shape_of(strange)


def shape_of(source: str) -> list[str]:
    """The syntax of a module without its names and texts."""
    return [type(node).__name__ for node in ast.walk(ast.parse(source))]


def tensorfile(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    text = header.encode() if isinstance(header, str) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
TENSORFILES = {
    "empty": b"",
    "a truncated header": tensorfile({"a": F32}, bytes(8))[:20],
    "a header longer than the file": tensorfile({"a": F32}, bytes(8), 2**60),
    "data that is cut off": tensorfile({"a": F32}, bytes(4)),
    "duplicate names": tensorfile(f'{{"a": {json.dumps(F32)}, "a": {json.dumps(F32)}}}', bytes(8)),
    "a zero-size tensor with a huge dimension": tensorfile(
        {"a": {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]}}
    ),
    "a shape that lies": tensorfile({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 8]}}, bytes(8)),
    "no JSON": tensorfile("[" * 50_000),
}


@pytest.mark.parametrize("name", TENSORFILES)
def test_weights_files(folder: Path, name: str) -> None:
    (folder / "a.net").write_text(net("  relu"))
    (folder / "w.safetensors").write_bytes(TENSORFILES[name])
    np.save(folder / "x.npy", np.zeros((1, 3, 8, 8), np.float32))
    outcome = netdsl(folder, "run", "a.net", "--weights", "w.safetensors", "--input", "x.npy")
    assert outcome.status in (1, 3)
    assert outcome.out == ""
    assert "error[E0" in outcome.err
    assert "w.safetensors" in outcome.err
