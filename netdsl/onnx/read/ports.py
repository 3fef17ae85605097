"""What a model asks for and gives: its inputs and outputs, with the batch open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from netdsl import codes
from netdsl.files import refuse
from netdsl.ir.graph import Graph
from netdsl.onnx.read.file import Model, malformed
from netdsl.onnx.read.values import Array, Extents
from netdsl.tensorfile import shown

Extent = int | None


@dataclass(frozen=True)
class Port:
    """An input or output: its name in ONNX and in the net, and which ONNX axis is the batch.

    `batch_axis` is None where ONNX sees a single sample.
    """

    onnx: str
    name: str
    batch_axis: int | None


@dataclass(frozen=True)
class Reading:
    """A model that was read: the graph, arrays by the names of its parameters, and how inputs and outputs map."""

    graph: Graph
    weights: dict[str, Array]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def inputs_of(
    model: Model, shapes: Mapping[str, Extents], constants: Mapping[str, Array]
) -> dict[str, tuple[Extent, ...]]:
    """The extents of every input that the net will have; None for an open first one, which is the batch."""
    graph = model.proto.graph
    initial = {item.name for item in graph.initializer} | {item.values.name for item in graph.sparse_initializer}
    known = [value.name for value in graph.input if value.name not in initial]
    for given in (*shapes, *constants):
        if given not in known:
            listed = ", ".join(shown(item) for item in known)
            raise refuse(codes.UNKNOWN_INPUT, f"the model has no input {shown(given)}; it has {listed}")
    result = {}
    for value in graph.input:
        if value.name in initial or value.name in constants:
            continue
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
            raise refuse(codes.OPEN_SHAPE, f"the input `{shown(value.name)}` has no shape", _shape_help(value.name))
        extents: list[Extent] = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
        if value.name in shapes:
            extents[1:] = shapes[value.name]
        if any(extent is None for extent in extents[1:]):
            written = " x ".join("?" if extent is None else str(extent) for extent in extents)
            message = f"the input `{shown(value.name)}` is {written}; only the first extent, the batch, may be open"
            raise refuse(codes.OPEN_SHAPE, message, _shape_help(value.name))
        if any(extent is not None and extent < 1 for extent in extents):
            raise malformed(f"the input `{shown(value.name)}` has the shape {extents}; extents are at least 1")
        size = int(np.prod([extent or 1 for extent in extents], dtype=object))
        if size > model.limits.tensor_elements or len(extents) > model.limits.rank + 1:
            raise refuse(codes.TENSOR_TOO_LARGE, f"the input `{shown(value.name)}` has {size} elements, over the limit")
        result[value.name] = tuple(extents)
    return result


def _shape_help(name: str) -> str:
    return f"say it: `--shape {shown(name)}=3x224x224`, without the batch"
