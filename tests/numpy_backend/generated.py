"""Generated modules, loaded, run and compared with the reference interpreter."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from netdsl.analysis.vocabulary import index_limits
from netdsl.codegen.artifact import Artifact
from netdsl.codegen.numpy.backend import compile_graph
from netdsl.ir.graph import Graph
from netdsl.ops.choice import Gather, Nms
from netdsl.passes.manager import Pass
from netdsl.passes.pipeline import CHANNELS_LAST
from netdsl.reference.interpret import interpret
from netdsl.tensor import DType

ELEMENTS = {DType.FLOAT32: np.float32, DType.FLOAT64: np.float64}
TOLERANCE = {DType.FLOAT32: 2e-6, DType.FLOAT64: 1e-13}
"""Largest difference over the largest element."""


def random_weights(graph: Graph, dtype: DType, seed: int = 0) -> dict[str, Any]:
    """Normal weights; those that must be positive are."""
    source = np.random.default_rng(seed)
    weights = {}
    for parameter in graph.parameters:
        array = source.standard_normal(parameter.value.type.shape) * 0.5
        positive = parameter.value.name.endswith("running_var") or parameter.value.name in ("w0", "w1")
        weights[parameter.value.name] = (abs(array) + 0.5 if positive else array).astype(ELEMENTS[dtype])
    return weights


def random_inputs(graph: Graph, dtype: DType, n: int, seed: int = 1) -> dict[str, Any]:
    """Normal inputs for n samples; indices are rows of a table, or those of a pooling by 2."""
    source = np.random.default_rng(seed)
    limits = index_limits(graph)
    rows = {node.operands[1]: node.operands[0].type.shape[0] for node in graph.nodes if isinstance(node.op, Gather)}
    boxes = {node.operands[0] for node in graph.nodes if isinstance(node.op, Nms)}
    arrays: dict[str, Any] = {}
    for value in graph.inputs:
        shape = (n * value.type.batch, *value.type.shape)
        if value.type.dtype.is_float:
            array = source.standard_normal(shape)
            if value in boxes:
                array[..., 2:] = array[..., :2] + 2 * abs(array[..., 2:])
            arrays[value.name] = array.astype(ELEMENTS[dtype])
        elif value in rows:
            arrays[value.name] = source.integers(-1, rows[value], shape)
        elif value.name in limits:
            arrays[value.name] = source.integers(0, limits[value.name], shape)
        elif value.type.dtype is DType.BOOL:
            arrays[value.name] = source.random(shape) < 0.5
        else:
            places = np.arange(value.type.size // value.type.shape[0]).reshape(1, 1, *value.type.shape[1:])
            arrays[value.name] = np.broadcast_to(places, shape).astype(np.int64)
    return arrays


def load_source(source: str, name: str = "generated_module") -> ModuleType:
    """The module of a text."""
    module = ModuleType(name)
    exec(compile(source, f"<{name}>", "exec"), module.__dict__)
    return module


def load_model(artifact: Artifact, weights: dict[str, Any]) -> Any:
    """A model, its weights passed through a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_file(weights, path)
        return load_source(artifact.source).load(path)


def as_tuple(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


def difference(found: Any, wanted: Any) -> float:
    """The largest difference over the largest element; infinite where shape, type, infinities or NaN differ."""
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return float("inf")
    finite = np.isfinite(wanted)
    if not np.array_equal(found[~finite], wanted[~finite], equal_nan=True):
        return float("inf")
    scale = np.abs(wanted[finite]).max(initial=0.0)
    gap = np.abs(found[finite] - wanted[finite]).max(initial=0.0)
    return float(gap / scale) if scale else float(gap)


def compare(
    graph: Graph, dtype: DType, n: int, passes: Sequence[Pass] = CHANNELS_LAST, factor: float = 1.0
) -> Artifact:
    """Assert that the generated module agrees with the reference; `factor` widens the tolerance for deep nets."""
    weights, inputs = random_weights(graph, dtype), random_inputs(graph, dtype, n)
    wanted = interpret(graph, inputs, weights, ELEMENTS[dtype])
    artifact = compile_graph(graph, dtype, passes=passes)
    found = as_tuple(load_model(artifact, weights)(*inputs.values()))
    worst = max(difference(*pair) for pair in zip(found, wanted, strict=True))
    assert worst <= factor * TOLERANCE[dtype], f"differs by {worst:.2e} of the largest element"
    return artifact
