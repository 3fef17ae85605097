"""What a cold start loads. The times themselves are measured by `benchmarks/start_up.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"numpy", "torch", "triton", "jinja2", "lark", "safetensors", "onnx", "asyncio", "unittest", "email", "ssl"}
PROGRAM = """net Tiny {
  input image: 3x8x8
  conv 4 k3 -> relu
}
"""


def loaded(folder: Path, statement: str) -> set[str]:
    """The modules that a fresh process has loaded after a statement."""
    code = f"{statement}\nimport sys; sys.stderr.write(' '.join(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_summary_loads_nothing_heavy(tmp_path: Path, form: str) -> None:
    (tmp_path / "tiny.net").write_text(PROGRAM)
    words = ["summary", "tiny.net", "--format", form]
    modules = loaded(tmp_path, f"from netdsl.cli.main import main; main({words})")
    assert "netdsl.analysis.table" in modules
    assert not modules & HEAVY
    assert not {name for name in modules if name.startswith(("netdsl.codegen", "netdsl.reference", "netdsl.passes"))}


def test_importing_netdsl_loads_nothing_else(tmp_path: Path) -> None:
    before = loaded(tmp_path, "pass")
    assert loaded(tmp_path, "import netdsl") - before <= {"netdsl"}


def test_the_library_loads_numpy_only_to_compute(tmp_path: Path) -> None:
    (tmp_path / "tiny.net").write_text(PROGRAM)
    modules = loaded(tmp_path, "import netdsl; repr(netdsl.load('tiny.net').summary())")
    assert not modules & HEAVY
