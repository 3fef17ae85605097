"""The largest elements, and rows by places that are computed: whole numbers that only choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from netdsl.ir.graph import Value
from netdsl.onnx.read.align import apart, arranged
from netdsl.onnx.read.call import Call, Operand, axis_of
from netdsl.onnx.read.functions import scalar
from netdsl.onnx.read.pieces import cut
from netdsl.onnx.read.values import BATCH, Reserved, Unreadable, View, plain_view
from netdsl.ops.choice import Gather, TopK
from netdsl.ops.elementwise import Scale
from netdsl.ops.shape import Flatten, Reshape
from netdsl.tensor import DType


@dataclass(frozen=True)
class Within(Reserved):
    """Whether each of `value`, places, is at least `low` and less than `high`, where those are given."""

    takers: ClassVar[tuple[str, ...]] = ("And", "Where", "Unsqueeze")
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True)
class Rows(Reserved):
    """Places of rows, 0 in place of those outside `high` of them."""

    takers: ClassVar[tuple[str, ...]] = ("GatherND", "Unsqueeze")
    high: int = 0


def are_places(operand: Operand) -> bool:
    """Whether it holds places that the net computes."""
    return isinstance(operand, View) and operand.value.type.dtype is DType.INT64


def top_k(call: Call) -> tuple[View, View]:
    """The largest elements, sorted, and their places; the smallest are the largest of the opposite."""
    view, count = call.view(0), int(call.fixed(1).reshape(-1)[0])
    parted, frame = apart(view)
    view = view if frame else arranged(call.net, parted)
    axis = axis_of(call.whole("axis", -1), view.rank)
    falls = bool(call.whole("largest", 1))
    if not falls:
        view = replace(view, value=call.net.one(Scale(-1.0), view.value))
    values, places = cut(call.net, view, axis, lambda atom: TopK(count, atom))
    if not falls:
        values = replace(values, value=call.net.one(Scale(-1.0), values.value))
    return values, replace(places, whole=True)


def bounded(op: str, a: Operand, b: Operand) -> Within:
    """Places from a number on, or below one."""
    limit = scalar(b)
    if not isinstance(a, View) or isinstance(a, Reserved) or limit is None or op not in ("GreaterOrEqual", "Less"):
        raise Unreadable("places that are computed are compared only with the first row and the number of rows")
    low, high = (int(limit), None) if op == "GreaterOrEqual" else (None, int(limit))
    return Within(a.value, a.atoms, a.axes, True, low, high)


def both_bounds(a: Within, b: Operand) -> Within:
    """Places between two numbers."""
    if not isinstance(b, Within) or not _same(a, b):
        raise Unreadable("it joins what is known of places with something else")
    first, second = (a, b) if b.low is None else (b, a)
    if first.high is not None or second.low is not None:
        raise Unreadable("it bounds places twice")
    return replace(first, high=second.high)


def _same(a: View, b: View) -> bool:
    """Whether two views see one tensor alike."""
    return (a.value, a.atoms, a.axes) == (b.value, b.atoms, b.axes)


def where_within(call: Call, known: Within) -> View:
    """Places, or 0 for those outside; what was gathered by them, or zeros, which `gather` has there already."""
    chosen, other = call.operand(1), call.operand(2)
    if isinstance(chosen, View) and scalar(other) == 0 and known.low == 0 and known.high is not None:
        if _same(chosen, known):
            return Rows(chosen.value, chosen.atoms, chosen.axes, True, known.high)
        node = call.net.maker(chosen.value)
        if node is not None and node.op == Gather() and node.inputs[1] is _listed(call, known):
            table, kept = node.inputs[0].type.shape, known.axes + ((),) * (chosen.rank - known.rank)
            if table[0] == known.high and kept[:2] == known.axes[:2] == chosen.axes[:2]:
                return chosen
    raise Unreadable("it chooses by whether places are bounded something else than the rows at them")


def gathered(call: Call) -> View:
    """Rows of every sample at places of its own: those outside, or places of maxima in as many rows."""
    table, places = call.view(0), call.view(1)
    if call.whole("batch_dims", 0) != 1 or table.axes[0] != (BATCH,) or places.axes[:1] != ((BATCH,),):
        raise Unreadable("its places are not one list for each sample")
    if places.rank != 3 or places.per_sample(2) != 1:
        raise Unreadable("its places are not those of whole rows")
    rows = call.net.batch_first(table)
    at = _listed(call, places)
    if not (isinstance(places, Rows) and places.high == rows.type.shape[0]) and _most(call, at) > rows.type.shape[0]:
        raise Unreadable("its places may lie outside the rows, where ONNX and the net do not mean the same")
    return plain_view(call.net.one(Gather(), rows, at), 0, table.whole)


def _listed(call: Call, places: View) -> Value:
    """Places as one list for each sample."""
    return call.net.arrange(places, places.axes[1:2])


def _most(call: Call, places: Value) -> float:
    """How large places can be, as far as the operator that found them says it."""
    node = call.net.maker(places)
    while node is not None and isinstance(node.op, Reshape | Flatten | Gather):
        node = call.net.maker(node.inputs[0])
    if node is None or not isinstance(node.op, TopK):
        return float("inf")
    return node.inputs[0].type.shape[node.op.axis]


READERS: dict[str, Callable[[Call], tuple[View, ...]]] = {"TopK": top_k}
