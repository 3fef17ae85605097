"""Generated PyTorch modules, loaded, run and compared with the reference interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from generated import ELEMENTS, as_tuple, difference, load_source

from netdsl.codegen.torch.backend import compile_graph
from netdsl.ir.graph import Graph
from netdsl.reference.interpret import interpret
from netdsl.tensor import DType

TOLERANCE = {DType.FLOAT32: 2e-5, DType.FLOAT64: 1e-13}
"""Largest difference over the largest element."""


def model_of(graph: Graph, weights: Mapping[str, Any], dtype: DType = DType.FLOAT32) -> Any:
    """The net's class with these weights, in evaluation mode; its state has the names of the weights."""
    module = load_source(compile_graph(graph, dtype).source)
    model = module.MODEL().to(module.DTYPE)
    state = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in weights.items()}
    assert set(model.state_dict()) == set(state)
    model.load_state_dict(state)
    return model.eval()


def tensors(inputs: Mapping[str, Any]) -> list[Any]:
    return [torch.from_numpy(array) for array in inputs.values()]


def error(graph: Graph, weights: Mapping[str, Any], inputs: Mapping[str, Any], dtype: DType = DType.FLOAT32) -> float:
    """How far the module's outputs are from the reference's."""
    wanted = interpret(graph, inputs, weights, ELEMENTS[dtype])
    with torch.no_grad():
        found = as_tuple(model_of(graph, weights, dtype)(*tensors(inputs)))
    return max(difference(y.numpy(), want) for y, want in zip(found, wanted, strict=True))
