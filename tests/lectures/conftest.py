"""The scripts of `examples/lectures`, importable as a reader would run them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

LECTURES = Path(__file__).parents[2] / "examples" / "lectures"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a script by name; it can import its neighbours."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(LECTURES))
    yield importlib.import_module
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(LECTURES):
            del sys.modules[name]
