"""From an ONNX model to a graph of netdsl."""

from __future__ import annotations

from collections.abc import Mapping

from netdsl import codes
from netdsl.diagnostics import NetError
from netdsl.limits import DEFAULT_LIMITS, Limits
from netdsl.onnx.read.file import Model, read_model
from netdsl.onnx.read.ports import Reading, inputs_of
from netdsl.onnx.read.reader import Reader
from netdsl.onnx.read.values import Array, Extents


def read(
    path: str,
    name: str,
    shapes: Mapping[str, Extents] | None = None,
    constants: Mapping[str, Array] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Reading:
    """A model from its file.

    shapes     shapes per sample of inputs by their ONNX names, where the model leaves extents open.
    constants  numbers of inputs that settle shapes or weights, and so must be known.

    Raises NetError with everything that cannot be read (E0801 to E0805, E09).
    """
    return read_parsed(read_model(path, limits), name, shapes or {}, constants or {})


def read_parsed(model: Model, name: str, shapes: Mapping[str, Extents], constants: Mapping[str, Array]) -> Reading:
    """A parsed model as a graph: with its first axis as the batch, or, where that fails, as a single sample."""
    inputs = inputs_of(model, shapes, constants)
    fixed = all(extents[0] is not None for extents in inputs.values() if extents)
    try:
        return Reader(model, name, inputs, constants, batched=True).run()
    except NetError as error:
        if not fixed or not any(d.code in (codes.NOT_EXPRESSIBLE, codes.MODEL_SHAPES) for d in error.diagnostics):
            raise
        try:
            return Reader(model, name, inputs, constants, batched=False).run()
        except NetError:
            raise error from None
