"""Models that netdsl writes: checked by onnx, run by onnxruntime, compared with the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from generated import difference

from netdsl.ir.graph import Graph
from netdsl.onnx.write.model import export
from netdsl.reference.interpret import interpret

TOLERANCE = 2e-5
"""Largest difference over the largest element, in float32."""

onnxruntime.set_default_logger_severity(3)


def run(data: bytes, inputs: Mapping[str, Any]) -> list[Any]:
    """The outputs by onnxruntime, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = {value.name for value in session.get_inputs()}
    return session.run(None, {name: array for name, array in inputs.items() if name in names})


def checked(graph: Graph, weights: Mapping[str, Any], **options: Any) -> bytes:
    """The model, checked: the operators' own rules, and strict inference of all shapes."""
    data = export(graph, weights, **options)
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    return data


def error(graph: Graph, weights: Mapping[str, Any], inputs: Mapping[str, Any]) -> float:
    """How far the model's outputs are from the reference's."""
    wanted = interpret(graph, inputs, weights, np.float32)
    found = run(checked(graph, weights), inputs)
    return max(difference(*pair) for pair in zip(found, wanted, strict=True))
