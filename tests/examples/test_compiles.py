"""Every example net compiles to a module of every backend. What the modules compute is tested elsewhere."""

from __future__ import annotations

import ast
import re

import pytest
from public import EXAMPLES, INDEX

import netdsl


@pytest.mark.parametrize("backend", ["numpy", "triton"])
@pytest.mark.parametrize("entry", INDEX, ids=lambda entry: entry["net"])
def test_it_compiles(entry: dict[str, str], backend: str) -> None:
    net = netdsl.load(str(EXAMPLES / entry["file"]), net=entry["net"])
    artifact = net.compile(backend=backend)
    names = {item.name for item in ast.parse(artifact.source).body if isinstance(item, ast.ClassDef | ast.FunctionDef)}
    assert "load" in names
    if backend == "numpy":
        said = re.search(r"arena of (\d+) bytes per sample, at least (\d+)", artifact.plan)
        assert said, "every net has activations"
        assert int(said[1]) <= 1.02 * int(said[2]), "buffers leave gaps that another order would fill"
