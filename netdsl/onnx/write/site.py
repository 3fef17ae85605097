"""Where an operator is written: the ONNX nodes of one layer, and the numbers that they need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from onnx import NodeProto, TensorProto, helper, numpy_helper

from netdsl.ops.base import Types


class Site:
    """Collects the nodes of one layer. `site("Mul", x, y)` adds a node and returns the name of its result.

    types    of the operands; one that does not depend on the sample was given an axis of one sample before.
    results  of the layer, likewise.
    element  what real numbers are stored and computed in.

    A node's helpers are called `<layer>/<kind>`, its numbers `<layer>/<role>`: a `/` occurs in no name of a `.net`.
    """

    def __init__(self, layer: str, types: Types, results: Types, element: DTypeLike) -> None:
        self.layer = layer
        self.types = types
        self.results = results
        self.element = np.dtype(element)
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._taken: set[str] = set()

    @property
    def rank(self) -> int:
        """Axes of the first operand, that of the samples included."""
        return self.types[0].rank + 1

    def __call__(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of a standard operator with one result; attributes that are None are left out."""
        return self.several(kind, *inputs, outputs=1, **attributes)[0]

    def several(self, kind: str, *inputs: str, outputs: int, **attributes: Any) -> tuple[str, ...]:
        """Add a node with several results."""
        name = self._fresh(kind)
        made = (name,) if outputs == 1 else tuple(f"{name}.{index}" for index in range(outputs))
        given = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(kind, inputs, made, name=name, **given))
        return made

    @property
    def element_kind(self) -> int:
        """What ONNX calls the element type."""
        return helper.np_dtype_to_tensor_dtype(self.element)

    def reals(self, role: str, values: Any) -> str:
        """A constant of real numbers."""
        return self._constant(role, np.asarray(values, self.element))

    def floats(self, role: str, values: Any) -> str:
        """A constant of float32, whatever is computed in: what ONNX wants of scales."""
        return self._constant(role, np.asarray(values, np.float32))

    def ints(self, role: str, values: int | Sequence[int]) -> str:
        """A constant of whole numbers: extents, axes, places."""
        return self._constant(role, np.asarray(values, np.int64))

    def truths(self, role: str, values: Any) -> str:
        """A constant of truth values."""
        return self._constant(role, np.asarray(values, np.bool_))

    def reshape(self, x: str, *extents: int) -> str:
        """The same elements of each sample under other extents."""
        return self("Reshape", x, self.ints("shape", (0, *extents)))

    def per_channel(self, weight: str, spatial: int) -> str:
        """A weight of one value a channel, with as many axes after it as a map has."""
        return self("Unsqueeze", weight, self.ints("axes", range(1, spatial + 1))) if spatial else weight

    def finish(self, values: Sequence[str], names: Sequence[str]) -> None:
        """Give the results their names; the node that makes the first of them is the layer itself."""
        final = dict(zip(values, names, strict=True))
        for node in self.nodes:
            if values[0] in node.output:
                node.name = self.layer
            node.output[:] = [final.get(name, name) for name in node.output]
            node.input[:] = [final.get(name, name) for name in node.input]

    def _constant(self, role: str, array: np.ndarray[Any, Any]) -> str:
        name = self._fresh(role)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def _fresh(self, word: str) -> str:
        name, count = f"{self.layer}/{word}", 1
        while name in self._taken:
            count += 1
            name = f"{self.layer}/{word}_{count}"
        self._taken.add(name)
        return name
