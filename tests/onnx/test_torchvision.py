"""torchvision's best known models, as PyTorch exported them: short programs, and onnxruntime's numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="reads ONNX models")

from exported import TOLERANCE, run
from skeletons import SIZE, model

from netdsl.codegen.numpy.backend import compile_graph
from netdsl.onnx.read.program import import_bytes


@pytest.mark.parametrize(
    ("name", "lines"), [("resnet50", 24), ("vgg16", 13), ("densenet121", 20), ("mobilenet_v2", 22)]
)
def test_a_model_comes_back_short_and_computes_the_same(name: str, lines: int) -> None:
    data = model(name).SerializeToString()
    imported = import_bytes(data, f"{name}.onnx")
    text = imported.text.splitlines()
    assert len(text) == lines
    assert max(map(len, text)) <= 100
    x = np.random.default_rng(1).standard_normal((1, 3, SIZE, SIZE)).astype(np.float32)
    ((entry,), (wanted,)) = imported.inputs, run(data, {imported.inputs[0].onnx: x})
    compiled: dict[str, Any] = {"__name__": "compiled"}
    exec(compile_graph(imported.graph).source, compiled)
    found = compiled["Model"](dict(imported.weights))(x)
    assert entry.batch_axis == 0
    assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()
