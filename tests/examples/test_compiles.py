"""Every example net compiles to a module of every backend. What the modules compute is tested elsewhere."""

from __future__ import annotations

import ast

import pytest
from public import EXAMPLES, INDEX

import netdsl


@pytest.mark.parametrize("backend", ["numpy", "triton"])
@pytest.mark.parametrize("entry", INDEX, ids=lambda entry: entry["net"])
def test_it_compiles(entry: dict[str, str], backend: str) -> None:
    net = netdsl.load(str(EXAMPLES / entry["file"]), net=entry["net"])
    source = net.compile(backend=backend).source
    names = {item.name for item in ast.parse(source).body if isinstance(item, ast.ClassDef | ast.FunctionDef)}
    assert "load" in names
