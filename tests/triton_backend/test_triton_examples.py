"""The example nets as Triton modules: interpreted at small sizes, and all their kernels compiled ahead of time."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from interpreted import Interpreter, difference, random_inputs, random_weights
from test_triton_networks import LargeTiling

import netdsl
from netdsl.codegen.triton.backend import compile_graph
from netdsl.tensor import DType

pytestmark = [pytest.mark.triton, pytest.mark.slow]
EXAMPLES = Path(__file__).parents[2] / "examples"


def nets() -> list[dict[str, Any]]:
    import json

    index = json.loads((EXAMPLES / "index.json").read_text(encoding="utf-8"))
    return [entry for entry in index if "/" not in entry["file"]]


FIRST = {entry["file"]: entry for entry in reversed(nets())}
"""One net of every file: the others of a family are the same blocks, more often."""


@pytest.fixture(scope="session")
def small(models: ModuleType) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Settings and input shapes at which a net is compared with PyTorch too."""
    pytest.importorskip("torch")
    from test_handwritten import FILES

    found = {}
    for file in FILES:
        for name, case in importlib.import_module(f"handwritten.{file}").CASES.items():
            found[name] = (dict(case.settings), dict(case.shapes))
    return found


@pytest.mark.parametrize("file", sorted(FIRST))
def test_interpreted_modules_agree_with_the_reference(
    interpreter: Interpreter, small: dict[str, tuple[dict[str, Any], dict[str, Any]]], file: str
) -> None:
    """One net stands for its file. Of the others, SEResNet50, FCN16s and HRNetW18Segmentation have some kernels that
    no net here has; interpreting them takes minutes, and their templates are compared operator by operator."""
    import placed

    name = FIRST[file]["net"]
    default = (3, 47, 61) if name.startswith("VGG") else placed.SHAPES.get(name, (3, 75, 91))
    settings, shapes = small.get(name, (placed.SETTINGS.get(name, {}), {"image": default}))
    net = netdsl.load(EXAMPLES / file, net=name, shape=shapes, **settings)
    weights = random_weights(net.graph, DType.FLOAT32)
    inputs = random_inputs(net.graph, DType.FLOAT32, 1)
    wanted = net.run(weights=weights, **inputs)
    found = interpreter.run(compile_graph(net.graph, DType.FLOAT32, tiling=LargeTiling()).source, inputs, weights)
    for ours, reference in zip(found, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        assert difference(ours, np.asarray(reference)) <= 2e-5


ARCHS = (80, 90)


def kernels(folder: Path) -> Iterator[tuple[int, Any]]:
    """A launch of every kernel of every example net in float16, those alike that differ in their extents alone."""
    from netdsl.codegen.triton.aot import launches, load_module

    seen: set[tuple[int, str, object]] = set()
    for number, entry in enumerate(nets()):
        net = netdsl.load(EXAMPLES / entry["file"], net=entry["net"])
        path = folder / f"net_{number}.py"
        path.write_text(net.compile(backend="triton", dtype="float16").source)
        module = load_module(path)
        for arch, launched in ((target, item) for target in ARCHS for item in launches(module, 1, target)):
            text = re.sub(rf"\b{launched.kernel.__name__}\b", "", launched.kernel.src)
            kinds = tuple(re.sub(r"\[.*\]", "", kind) for _, kind in launched.signature)
            key = (arch, re.sub(r"\d+", "#", text), kinds)
            if key not in seen:
                seen.add(key)
                yield arch, launched


def test_every_kernel_compiles_for_two_architectures(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    pytest.importorskip("torch")
    from netdsl.codegen.triton.aot import SHARED_LIMIT, compile_launch

    found = list(kernels(tmp_path))
    assert len(found) > 100
    compiled = [compile_launch(launched, arch) for arch, launched in found]
    assert not [kernel for kernel in compiled if kernel.stack or kernel.shared > SHARED_LIMIT[kernel.arch]]
