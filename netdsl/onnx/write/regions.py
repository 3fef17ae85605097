"""Regions of feature maps as ONNX, which lists the boxes of all samples one after the other, each with its sample."""

from __future__ import annotations

from netdsl.onnx.write.site import Site
from netdsl.ops.regions import RegionOp, RoiAlign, RoiPool


def roi_pool(op: RoiPool, at: Site, x: str, boxes: str) -> str:
    """MaxRoiPool, whose boxes begin with their sample."""
    rows = at("Reshape", _samples(op, at, x), at.ints("column", (-1, 1)))
    numbers = at("Cast", rows, to=at.element_kind)
    listed = at("Concat", numbers, _listed(at, x, boxes), axis=1)
    return _grouped(op, at, at("MaxRoiPool", x, listed, pooled_shape=op.kernel, spatial_scale=op.scale))


def roi_align(op: RoiAlign, at: Site, x: str, boxes: str) -> str:
    """RoiAlign."""
    height, width = op.kernel
    settings = {"output_height": height, "output_width": width, "sampling_ratio": op.points, "spatial_scale": op.scale}
    shift = "half_pixel" if op.aligned else "output_half_pixel"
    samples = at("Reshape", _samples(op, at, x), at.ints("line", [-1]))
    y = at("RoiAlign", x, _listed(at, x, boxes), samples, coordinate_transformation_mode=shift, **settings)
    return _grouped(op, at, y)


def _samples(op: RegionOp, at: Site, x: str) -> str:
    """`N x rois`: the number of its sample for each box."""
    rows = at("Shape", x, start=0, end=1)
    numbers = at("Range", at.ints("first", 0), at("Squeeze", rows), at.ints("step", 1))
    shape = at("Concat", rows, at.ints("rois", at.types[1].shape[:1]), axis=0)
    return at("Expand", at("Unsqueeze", numbers, at.ints("axis", [1])), shape)


def _listed(at: Site, x: str, boxes: str) -> str:
    """`N*rois x 4`; boxes that are the same for all samples are first repeated."""
    if not at.types[1].batch:
        rows = at("Shape", x, start=0, end=1)
        boxes = at("Expand", boxes, at("Concat", rows, at.ints("boxes", at.types[1].shape), axis=0))
    return at("Reshape", boxes, at.ints("list", (-1, 4)))


def _grouped(op: RegionOp, at: Site, y: str) -> str:
    return at("Reshape", y, at.ints("grouped", (-1, *at.results[0].shape)))
