"""One ONNX node as its reader sees it: operands, attributes of the right kinds, and the net that it adds to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from netdsl.onnx.read.file import malformed
from netdsl.onnx.read.net import Net
from netdsl.onnx.read.values import BATCH, Array, Extents, Known, Unreadable, View
from netdsl.ops.base import Op
from netdsl.tensorfile import shown

Operand = View | Known


@dataclass(frozen=True)
class Call:
    """A node: `operands` are None where it leaves one out; `outputs` are the names of its results, '' where unused."""

    net: Net
    op: str
    title: str
    operands: tuple[Operand | None, ...]
    names: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    opset: int

    def has(self, index: int) -> bool:
        """Whether an operand is given."""
        return index < len(self.operands) and self.operands[index] is not None

    def operand(self, index: int) -> Operand:
        """An operand. Raises NetError (E0801) where it is missing."""
        found = self.operands[index] if index < len(self.operands) else None
        if found is None:
            raise malformed(f"{self.title} lacks its input {index + 1}")
        return found

    def view(self, index: int) -> View:
        """An operand as a tensor of the net; known numbers become a weight."""
        return as_view(self.net, self.operand(index))

    def known(self, index: int) -> Known:
        """An operand whose numbers must be known when the model is read. Raises Unreadable."""
        found = self.operand(index)
        if not isinstance(found, Known):
            raise Unreadable(f"its input `{shown(self.names[index])}` is not known when the model is read")
        return found

    def fixed(self, index: int, default: Any = None) -> Array:
        """The numbers of an operand that settles what the node is; `default` where it is left out."""
        if not self.has(index):
            if default is None:
                raise malformed(f"{self.title} lacks its input {index + 1}")
            return np.asarray(default)
        return self.known(index).fixed(f"its input `{shown(self.names[index])}`")

    def whole(self, name: str, default: int) -> int:
        """A whole number among the attributes."""
        return int(self._attribute(name, int, default))

    def number(self, name: str, default: float) -> float:
        """A real number among the attributes."""
        return float(self._attribute(name, float, default))

    def text(self, name: str, default: str) -> str:
        """A text among the attributes."""
        return str(self._attribute(name, str, default))

    def ints(self, name: str, default: Extents = ()) -> Extents:
        """A list of whole numbers among the attributes."""
        return tuple(self._attribute(name, tuple, default))

    def axes(self, index: int, rank: int) -> Extents | None:
        """Axes from an operand or, as in older models, an attribute, counted from the front; None where neither is."""
        if self.has(index):
            axes = tuple(int(axis) for axis in self.fixed(index).reshape(-1))
        elif "axes" in self.attributes:
            axes = self.ints("axes")
        else:
            return None
        return tuple(sorted(axis_of(axis, rank) for axis in axes))

    def _attribute(self, name: str, kind: type, default: Any) -> Any:
        value = self.attributes.get(name, default)
        if not isinstance(value, kind):
            raise malformed(f"{self.title} has an attribute `{name}` of another kind than ONNX says")
        return value


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front. Raises Unreadable where there is none."""
    if not -rank <= axis < rank:
        raise Unreadable(f"there is no axis {axis} among {rank}")
    return axis % rank


def as_view(net: Net, operand: Operand) -> View:
    """An operand as a tensor; known numbers become a weight, the same for every sample."""
    if isinstance(operand, View):
        return operand
    if operand.other is not None:
        raise Unreadable("numbers that depend on the size of the batch cannot be a weight")
    if not operand.array.size:
        raise Unreadable("a tensor without elements cannot be written")
    value = net.parameter(operand)
    return View(value, value.type.shape, tuple((index,) for index in range(value.type.rank)))


def unary(call: Call, op: Op, index: int = 0, whole: bool | None = None) -> View:
    """A function of single elements: whatever order they are seen in, it stays."""
    view = call.view(index)
    kept = view.whole if whole is None else whole
    return View(call.net.one(op, view.value), view.atoms, view.axes, kept)


def without_batch(view: View, axes: Extents) -> None:
    """Refuse to work along an axis that holds the batch."""
    for axis in axes:
        if BATCH in view.axes[axis]:
            raise Unreadable(f"it works along axis {axis}, which holds the batch")
