"""Choosing as ONNX: rows by their index, boxes that do not overlap."""

from __future__ import annotations

from onnx import GraphProto, TensorProto, helper

from netdsl.onnx.write.site import Site
from netdsl.ops.choice import Gather, Nms


def gather(op: Gather, at: Site, x: str, indices: str) -> str:
    """GatherND within each sample; zeros in place of what an index outside would take."""
    table, places = at.types
    if not (table.batch and places.batch):
        lengths = at("Shape", x if table.batch else indices, start=0, end=1)
        x = at("Expand", x, at("Concat", lengths, at.ints("rows", table.shape), axis=0))
        indices = at("Expand", indices, at("Concat", lengths, at.ints("places", places.shape), axis=0))
    low = at("GreaterOrEqual", indices, at.ints("zero", 0))
    known = at("And", low, at("Less", indices, at.ints("count", table.shape[0])))
    safe = at("Where", known, indices, at.ints("zero", 0))
    found = at("GatherND", x, at("Unsqueeze", safe, at.ints("last", [2])), batch_dims=1)
    zero = at("Cast", at.ints("zero", 0), to=at.element_kind) if table.dtype.is_float else at.ints("zero", 0)
    spread = at("Unsqueeze", known, at.ints("axes", range(2, table.rank + 1))) if table.rank > 1 else known
    return at("Where", spread, found, zero)


def nms(op: Nms, at: Site, boxes: str, scores: str) -> str:
    """A Loop: in all samples at once the best box that is left, of which those that overlap it are left no more.

    NonMaxSuppression lists the boxes of all samples together, as many as stay, and turns around boxes whose corners
    are the wrong way round, which for us overlap nothing.
    """
    extents = at("Concat", at("Shape", scores, start=0, end=1), at.ints("boxes", at.types[0].shape), axis=0)
    boxes = at("Expand", boxes, extents)
    two, four, last = at.ints("two", [2]), at.ints("four", [4]), at.ints("last", [2])
    low, high = at("Slice", boxes, at.ints("first", [0]), two, last), at("Slice", boxes, two, four, last)
    areas = at("ReduceProd", at("Sub", high, low), last, keepdims=0)
    body = best_box(op, at, low, high, areas, last)
    _, kept = at.several("Loop", at.ints("count", op.count), "", scores, outputs=2, body=body)
    return at("Transpose", at("Squeeze", kept, last), perm=(1, 0))


def best_box(op: Nms, at: Site, low: str, high: str, areas: str, last: str) -> GraphProto:
    """One step. Boxes that are left have scores above `least`; the index is -1 where there are none."""
    inner = Site(f"{at.layer}/step", at.types, at.results, at.element)
    left, least = f"{inner.layer}/left", inner.reals("least", op.least)
    one = inner.ints("one", [1])
    best = inner("ArgMax", left, axis=1, keepdims=1)
    there = inner("Greater", inner("GatherElements", left, best, axis=1), least)
    index = inner("Where", there, best, inner.ints("none", -1))
    start, end = (inner("Unsqueeze", inner("GatherND", x, best, batch_dims=1), one) for x in (low, high))
    sides = inner("Sub", inner("Min", high, end), inner("Max", low, start))
    shared = inner("ReduceProd", inner("Max", sides, inner.reals("zero", 0)), last, keepdims=0)
    both = inner("Sub", inner("Add", inner("GatherElements", areas, best, axis=1), areas), shared)
    over = inner("Greater", shared, inner("Mul", inner.reals("iou", op.iou), both))
    own = inner("Equal", inner.ints("places", range(at.types[1].shape[0])), best)
    after = inner("Where", inner("Or", over, own), least, left)
    more = inner("Identity", f"{inner.layer}/more")
    scores = ("N", at.types[1].shape[0])
    return helper.make_graph(
        inner.nodes,
        inner.layer,
        [
            helper.make_tensor_value_info(f"{inner.layer}/number", TensorProto.INT64, ()),
            helper.make_tensor_value_info(f"{inner.layer}/more", TensorProto.BOOL, ()),
            helper.make_tensor_value_info(left, at.element_kind, scores),
        ],
        [
            helper.make_tensor_value_info(more, TensorProto.BOOL, ()),
            helper.make_tensor_value_info(after, at.element_kind, scores),
            helper.make_tensor_value_info(index, TensorProto.INT64, ("N", 1)),
        ],
        inner.constants,
    )
