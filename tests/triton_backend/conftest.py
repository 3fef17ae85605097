"""The interpreter's process, one for the session, the small nets of the pass tests, and the networks in PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from interpreted import Interpreter

for folder in ("passes", "gpu", "examples"):
    sys.path.append(str(Path(__file__).parents[1] / folder))


@pytest.fixture(scope="session")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interpreter]:
    if not (find_spec("torch") and find_spec("triton")):
        pytest.skip("needs torch and triton")
    running = Interpreter(tmp_path_factory.mktemp("interpreted"))
    yield running
    running.close()
