"""Regions of feature maps: ONNX lists the boxes of all samples one after the other, each with its sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from netdsl.onnx.read.call import Call
from netdsl.onnx.read.functions import short
from netdsl.onnx.read.values import BATCH, Known, Regions, Unreadable, View, plain_view
from netdsl.ops.regions import RegionOp, RoiAlign, RoiPool


def roi_align(call: Call) -> View:
    """RoiAlign; its points are counted, not found by the extents of a box."""
    if call.text("mode", "avg") != "avg" or call.whole("sampling_ratio", 0) < 1:
        raise Unreadable("it takes the largest point of a cell, or as many points as a box is long")
    shift = call.text("coordinate_transformation_mode", "half_pixel" if call.opset >= 16 else "output_half_pixel")
    kernel = (call.whole("output_height", 1), call.whole("output_width", 1))
    scale = short(call.number("spatial_scale", 1.0))
    op = RoiAlign(kernel, scale, call.whole("sampling_ratio", 0), shift == "half_pixel")
    return _regions(call, op, call.view(1), call.known(2))


def roi_pool(call: Call) -> View:
    """MaxRoiPool, whose boxes begin with their sample."""
    listed = call.operand(1)
    if not isinstance(listed, Regions):
        raise Unreadable("its boxes are not listed sample by sample")
    op = RoiPool(call.ints("pooled_shape"), short(call.number("spatial_scale", 1.0)))
    return _regions(call, op, View(listed.value, listed.atoms, listed.axes), listed.samples)


def _regions(call: Call, op: RegionOp, boxes: View, samples: Known) -> View:
    """As many boxes for each sample, in the order of the samples."""
    net, count = call.net, boxes.per_sample(0)
    numbers = (samples.array, samples.array if samples.other is None else samples.other)
    for batch, array in zip(net.batches, numbers, strict=False):
        if not np.array_equal(array.ravel(), np.repeat(np.arange(batch), count)):
            raise Unreadable("its boxes are not as many for each sample, one sample after the other")
    if boxes.axes[0][:1] != (BATCH,):
        raise Unreadable("its boxes mix the samples of the batch")
    listed = net.arrange(boxes, [boxes.axes[0][1:], boxes.axes[1]])
    regions = plain_view(net.one(op, net.batch_first(call.view(0)), listed), None)
    return replace(regions, axes=((BATCH, 0), *regions.axes[1:]))


READERS: dict[str, Callable[[Call], View]] = {
    "RoiAlign": roi_align,
    "MaxRoiPool": roi_pool,
}
