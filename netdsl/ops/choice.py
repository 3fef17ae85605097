"""Choosing: the largest elements, rows by their index, boxes that do not overlap. Whole numbers are indices."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from netdsl.ops.base import (
    AttrKind,
    Cost,
    Op,
    Sample,
    ShapeError,
    Types,
    attr,
    axis_index,
    common_batch,
    feature_map,
    operator,
    require_at_least,
    require_float,
    vector,
)
from netdsl.tensor import DType, TensorType, shape_text


@operator
class TopK(Op):
    """The `count` largest elements along an axis, falling, and where they stood, as `torch.topk`: `topk 100 as x, at`.

    Of equal ones the first comes first; NaN comes before infinity. Cost: 1 operation for each element.
    """

    word: ClassVar[str] = "topk"

    count: int = attr(AttrKind.INT, "how many", positional=True)
    axis: int = attr(AttrKind.INT, "along which axis", default=-1)

    def resolve(self, inputs: Types) -> Op:
        """The axis counted from the front."""
        axis = axis_index(self.axis, inputs[0])
        extent = inputs[0].shape[axis]
        if not 1 <= self.count <= extent:
            raise ShapeError(f"takes from 1 to all {extent} elements of the axis, but this is {self.count}", 0)
        return replace(self, axis=axis)

    def infer(self, inputs: Types) -> Types:
        """The elements, and their places along the axis as whole numbers."""
        require_float(inputs)
        shape = inputs[0].shape
        values = inputs[0]._replace(shape=(*shape[: self.axis], self.count, *shape[self.axis + 1 :]))
        return (values, values._replace(dtype=DType.INT64))

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """One comparison for each element."""
        return Cost(0, inputs[0].elements)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Some and all, along every axis."""
        return (
            Sample("some", cls(5), (vector(37),)),
            Sample("all", cls(7), (TensorType((3, 7)),)),
            Sample("first", cls(2, 0), (feature_map(5, 3, 7),)),
            Sample("middle", cls(1, -2), (feature_map(3, 9, 5),)),
        )


class Gather(Op):
    """Rows of a tensor by their index: `boxes -> gather(at)`. An index that no row has, such as -1, gives zeros.

    Like `torch.gather` along the first axis with whole rows. Cost: none.
    """

    word: ClassVar[str] = "gather"
    operands: ClassVar[tuple[int, int | None]] = (2, 2)

    def infer(self, inputs: Types) -> Types:
        """`n x S` and k whole numbers -> `k x S`."""
        x, at = inputs
        if not x.rank:
            raise ShapeError("takes rows along the first axis, but this has no axis", 0)
        if at.dtype is not DType.INT64 or at.rank != 1:
            what = f"{shape_text(at.shape)} of {at.dtype.label}"
            raise ShapeError(f"expects a line of whole numbers, the rows to take, but this is {what}", 1)
        return (TensorType((at.shape[0], *x.shape[1:]), x.dtype, common_batch(inputs)),)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """Values move, none is computed."""
        return Cost(0, 0)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Numbers, rows, maps, rows that are the same for all samples."""
        at = vector(5, DType.INT64)
        return (
            Sample("numbers", cls(), (vector(7), at)),
            Sample("rows", cls(), (TensorType((9, 4)), at)),
            Sample("maps", cls(), (feature_map(3, 5, 7), at)),
            Sample("constant", cls(), (TensorType((9, 4), batch=0), at)),
        )


@operator
class Nms(Op):
    """Which boxes stay when those that overlap a better one go, as `torchvision.ops.nms`, `count` at most.

    `boxes -> nms(scores) 100 iou=0.5 as kept`: boxes are x1, y1, x2, y2. The box of the largest score stays (of equal
    ones the first), those whose intersection with it is more than `iou` of their union go, and so on. Scores up to
    `least` do not take part. Where fewer than `count` stay, the last indices are -1, for which `gather` gives zeros.

    Cost: for each box kept, 14 operations for each box: 13 for the overlap, 1 for the score; 3 for each box's area.
    """

    word: ClassVar[str] = "nms"
    operands: ClassVar[tuple[int, int | None]] = (2, 2)

    count: int = attr(AttrKind.INT, "most boxes that stay", positional=True)
    iou: float = attr(AttrKind.FLOAT, "overlap from which the worse box goes", default=0.5)
    least: float = attr(AttrKind.FLOAT, "score that a box must be above", default=0.0)

    def infer(self, inputs: Types) -> Types:
        """`n x 4` and n scores -> `count` indices as whole numbers, by falling score."""
        boxes, scores = inputs
        require_float(inputs)
        require_at_least(1, (self.count,), "the number of boxes")
        if boxes.rank != 2 or boxes.shape[1] != 4:
            raise ShapeError(f"expects boxes (n x 4: x1, y1, x2, y2), but this is {shape_text(boxes.shape)}", 0)
        if scores.shape != boxes.shape[:1]:
            message = f"expects a score for each of {boxes.shape[0]} boxes, but this is {shape_text(scores.shape)}"
            raise ShapeError(message, 1)
        if not scores.batch:
            raise ShapeError("expects scores that depend on the sample, but these are made of weights alone", 1)
        return (TensorType((self.count,), DType.INT64, common_batch(inputs)),)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """Every box against every one that stays."""
        return Cost(0, (14 * self.count + 3) * inputs[1].elements)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Fewer than there are, more than can stay, another overlap and score, boxes that are the same for all."""
        boxes, scores = TensorType((17, 4)), vector(17)
        return (
            Sample("few", cls(3), (boxes, scores)),
            Sample("many", cls(19, 0.2), (boxes, scores)),
            Sample("likely", cls(5, 0.7, 0.4), (boxes, scores)),
            Sample("constant", cls(7, 0.3), (boxes._replace(batch=0), scores)),
        )
