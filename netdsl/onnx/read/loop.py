"""The one loop that is read: the boxes that do not overlap a better one, as `nms` is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from netdsl.ir.graph import Value
from netdsl.onnx.read.call import Call
from netdsl.onnx.read.file import import_onnx
from netdsl.onnx.read.functions import round_trip
from netdsl.onnx.read.values import BATCH, Array, Known, Unreadable, View
from netdsl.ops.choice import Nms
from netdsl.ops.elementwise import Sub
from netdsl.ops.pieces import Slice
from netdsl.ops.reduce import Product
from netdsl.tensor import TensorType

ONLY_NMS = "a loop is read only where it is how `nms` is written"
CHOSEN = ("iou", "least")
"""Constants of the body that are the operator's attributes."""


def kept_boxes(call: Call, body: Any, scope: Mapping[str, Any]) -> tuple[View, View]:
    """`nms` where the body is that of the loop which netdsl writes for it; `scope` has what it takes from outside."""
    scores = call.view(2)
    count = int(call.fixed(0).reshape(-1)[0])
    value = call.net.batch_first(scores, 2)
    match = _Match(_template(value.type.shape[0]), body, scope)
    if call.has(1) or any(call.outputs[:1]) or not match.same():
        raise Unreadable(ONLY_NMS)
    found = {role: scope.get(name) for role, name in match.captured.items()}
    boxes = _boxes(call, *(found.get(role) for role in ("low", "high", "areas")))
    iou, least = (round_trip(match.chosen[role]) for role in CHOSEN)
    kept = call.net.one(Nms(count, iou, least), boxes, value)
    return scores, View(kept, (count,), ((0,), (BATCH,), ()), whole=True)


def _template(boxes: int) -> Any:
    """The body as it is written."""
    from netdsl.onnx.write.choice import best_box  # needs onnx, which nothing imports before a model is read
    from netdsl.onnx.write.site import Site

    types = (TensorType((boxes, 4)), TensorType((boxes,)))
    return best_box(Nms(1), Site("", types, (), np.float32), "low", "high", "areas", "last")


def _boxes(call: Call, low: Any, high: Any, areas: Any) -> Value:
    """The boxes whose corners and areas the loop takes."""
    views = [view for view in (low, high, areas) if isinstance(view, View)]
    if len(views) < 3:
        raise Unreadable(ONLY_NMS)
    corners = [call.net.batch_first(view) for view in views]
    start, end, area = (call.net.maker(corner) for corner in corners)
    sides = area and call.net.maker(area.inputs[0])
    if start is None or end is None or area is None or sides is None:
        raise Unreadable(ONLY_NMS)
    cuts = (start.op, end.op) == (Slice(0, 2, 1), Slice(2, 4, 1)) and start.inputs == end.inputs
    products = (sides.op, area.op) == (Sub(), Product((1,))) and sides.inputs == (corners[1], corners[0])
    boxes = start.inputs[0]
    if not cuts or not products or boxes.type.shape[1] != 4:
        raise Unreadable(ONLY_NMS)
    return boxes


class _Match:
    """Whether two bodies compute the same from inputs in the same places, and what stands for what in them."""

    def __init__(self, template: Any, body: Any, scope: Mapping[str, Any]) -> None:
        self.captured: dict[str, str] = {}
        self.chosen: dict[str, Array] = {}
        self._graphs = (template, body)
        self._scope = scope
        self._makers = [{name: node for node in graph.node for name in node.output} for graph in self._graphs]
        self._inputs = [{value.name: place for place, value in enumerate(graph.input)} for graph in self._graphs]
        to_array = import_onnx().numpy_helper.to_array
        self._wanted = {item.name: to_array(item) for item in template.initializer}

    def same(self) -> bool:
        """Whether the outputs are."""
        outputs = [[value.name for value in graph.output] for graph in self._graphs]
        return len(outputs[0]) == len(outputs[1]) and all(map(self._alike, *outputs))

    def _alike(self, wanted: str, name: str) -> bool:
        if wanted in self._wanted:
            return self._constant(wanted, name)
        own, other = (makers.get(one) for makers, one in zip(self._makers, (wanted, name), strict=True))
        if own is None or other is None:
            place, its = (inputs.get(one) for inputs, one in zip(self._inputs, (wanted, name), strict=True))
            return own is other and place == its and (place is not None or self._outside(wanted, name))
        same = (
            own.op_type == other.op_type and len(own.input) == len(other.input) and _settings(own) == _settings(other)
        )
        return same and all(map(self._alike, own.input, other.input))

    def _outside(self, wanted: str, name: str) -> bool:
        """Whether a value from around the loop always stands for the same one."""
        return self.captured.setdefault(wanted, name) == name

    def _constant(self, wanted: str, name: str) -> bool:
        """Whether a number is what it should be; the operator's attributes may be any."""
        known = self._scope.get(name)
        role = wanted.rpartition("/")[2]
        if not isinstance(known, Known) or known.other is not None:
            return False
        if role in CHOSEN and known.array.size == 1:
            return bool(self.chosen.setdefault(role, known.array) == known.array)
        return known.array.size == self._wanted[wanted].size and bool((known.array == self._wanted[wanted]).all())


def _settings(node: Any) -> list[bytes]:
    """Attributes, in no order of their own."""
    return sorted(item.SerializeToString(deterministic=True) for item in node.attribute)
