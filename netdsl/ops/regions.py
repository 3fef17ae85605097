"""Regions of feature maps: boxes of a picture, each as a map of a fixed size."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import ClassVar

from netdsl.ops.base import (
    AttrKind,
    Cost,
    Op,
    Sample,
    ShapeError,
    Types,
    attr,
    common_batch,
    feature_map,
    operator,
    per_axis,
    require_at_least,
    require_float,
    require_rank,
)
from netdsl.tensor import TensorType, shape_text


@operator
class RegionOp(Op):
    """What is common to both: a map and boxes, the extents of a region's result, the scale from boxes to map."""

    operands: ClassVar[tuple[int, int | None]] = (2, 2)

    kernel: tuple[int, ...] = attr(AttrKind.AXES, "extents of each region's result", short="k")
    scale: float = attr(AttrKind.FLOAT, "elements of the map for one unit of the boxes", default=1.0)

    def resolve(self, inputs: Types) -> Op:
        """One extent for each axis."""
        kernel = per_axis(self.kernel, 2, "k")
        require_at_least(1, kernel, "k")
        if not self.scale > 0:
            raise ShapeError(f"scale is above 0, but this is {self.scale}")
        return replace(self, kernel=kernel)

    def infer(self, inputs: Types) -> Types:
        """`C x H x W` and `rois x 4` -> `rois x C x k`."""
        x, boxes = inputs
        require_rank(x, (3,), "a feature map (channels x height x width)")
        require_float(inputs)
        if not x.batch:
            raise ShapeError("takes regions of a map that depends on the sample, but this is made of weights alone", 0)
        if boxes.rank != 2 or boxes.shape[1] != 4:
            message = f"expects boxes (rois x 4: x1, y1, x2, y2), but this is {shape_text(boxes.shape)}"
            raise ShapeError(message, 1)
        return (TensorType((boxes.shape[0], x.shape[0], *self.kernel), x.dtype, common_batch(inputs)),)


class RoiPool(RegionOp):
    """The maximum of each cell of each region, as `torchvision.ops.roi_pool`: `roipool(boxes) k7 scale=1/16`.

    A box is x1, y1, x2, y2: its corners times `scale` are rounded to elements, a half away from 0, and both belong to
    it. Cell i of k along a region of L elements covers those from `floor(i L / k)` to `ceil((i + 1) L / k)`, exactly;
    what lies outside the map does not count, and a cell without elements is 0. Girshick 2015.

    Cost: as many operations as the map has elements for each channel of each region: the most that cells cover once.
    """

    word: ClassVar[str] = "roipool"

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """A comparison for each element of the map, in each region."""
        return Cost(0, outputs[0].elements // prod(self.kernel) * prod(inputs[0].shape[1:]))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Regions smaller and larger than their result, the scale, boxes that are the same for all samples."""
        image, boxes = feature_map(3, 9, 11), TensorType((5, 4))
        return (
            Sample("small", cls((4,), 5.0), (image, boxes)),
            Sample("large", cls((2, 3), 9.0), (image, boxes)),
            Sample("unscaled", cls((1,)), (image, boxes)),
            Sample("constant", cls((3,), 4.0), (image, TensorType((3, 4), batch=0))),
        )


@operator
class RoiAlign(RegionOp):
    """The mean of points between elements, in each cell of each region, as `torchvision.ops.roi_align`.

    `roialign(boxes) k7 scale=1/16`: a box is x1, y1, x2, y2, its corners times `scale`, not rounded; a side is at least
    1 long. A cell has `points x points` of them (PyTorch's `sampling_ratio`), evenly spread, each worked out from its
    four neighbours; more than one element outside the map a point counts as 0. `aligned` shifts boxes by half an
    element, and then sides may be shorter than 1. He et al. 2017.

    Cost: 8 operations for each point (four products, three sums, its part in the mean).
    """

    word: ClassVar[str] = "roialign"

    points: int = attr(AttrKind.INT, "points along each axis of a cell", default=2)
    aligned: bool = attr(AttrKind.FLAG, "boxes shifted by half an element", default=False, flag="aligned")

    def resolve(self, inputs: Types) -> Op:
        """One extent for each axis, and points to look at."""
        require_at_least(1, (self.points,), "points")
        return super().resolve(inputs)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """Eight operations for each point."""
        return Cost(0, 8 * self.points**2 * outputs[0].elements)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Every attribute; boxes that are the same for all samples."""
        image, boxes = feature_map(3, 9, 11), TensorType((5, 4))
        return (
            Sample("square", cls((3,), 5.0), (image, boxes)),
            Sample("rectangular", cls((2, 5), 4.0, points=3), (image, boxes)),
            Sample("aligned", cls((4,), 4.0, points=1, aligned=True), (image, boxes)),
            Sample("unscaled", cls((2,)), (image, boxes)),
            Sample("constant", cls((3,), 4.0), (image, TensorType((3, 4), batch=0))),
        )
