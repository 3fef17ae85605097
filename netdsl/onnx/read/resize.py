"""Resize: along each axis a matrix of weights; by `upsample` where its matrix is the same, else by the matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from netdsl.onnx.read.align import join, times_matrix
from netdsl.onnx.read.call import Call, axis_of
from netdsl.onnx.read.values import BATCH, Array, Known, Unreadable, View
from netdsl.ops.elementwise import Add
from netdsl.ops.maps import Upsample


@dataclass(frozen=True)
class Axis:
    """One axis that changes: its extents, the scale that is used, and the part of it that is looked at."""

    length: int
    to: int
    scale: float
    start: float = 0.0
    end: float = 1.0


def resize(call: Call) -> View:
    """By scales or to sizes."""
    view = call.view(0)
    axes = _extents(call, view)
    changed = {place: axis for place, axis in axes.items() if axis.to != axis.length or axis.start or axis.end != 1}
    mode = call.text("mode", "nearest")
    found = {place: _matrix(call, mode, axis) for place, axis in changed.items()}
    op = _upsample(view, mode, axes, found)
    if op is not None:
        return call.net.back(call.net.one(op, call.net.batch_first(view)), view)
    beyond = np.zeros([1] * view.rank, np.float32)
    for place, (matrix, outside) in found.items():
        name = f"{call.net.here}.axis{place}"
        view = times_matrix(call.net, view, place, Known(matrix.astype(np.float32), None, name))
        shape = [1] * view.rank
        shape[place] = len(outside)
        beyond = np.maximum(beyond, outside.reshape(shape).astype(np.float32))
    if beyond.any():
        value = np.float32(call.number("extrapolation_value", 0.0))
        inside = Known(beyond * value, None, f"{call.net.here}.outside")
        view = join(call.net, Add(), (view, inside))
    return view


def _extents(call: Call, view: View) -> dict[int, Axis]:
    """The axes of a sample, each with where it goes."""
    old = call.op == "Upsample" or call.opset < 11
    scales, sizes, roi = _given(call, old)
    given = [axis_of(axis, view.rank) for axis in call.ints("axes", tuple(range(view.rank)))]
    shape = view.shape(call.net.batches[0])
    crop = call.text("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    policy = call.text("keep_aspect_ratio_policy", "stretch")
    if sizes and policy != "stretch":
        factors = [size / shape[place] for size, place in zip(sizes, given, strict=True)]
        scale = min(factors) if policy == "not_larger" else max(factors)
        scales, sizes = [scale] * len(given), [floor(scale * shape[place] + 0.5) for place in given]
    result = {}
    for index, place in enumerate(given):
        if BATCH in view.axes[place]:
            if (scales and scales[index] != 1) or (not scales and sizes[index] not in call.net.batches):
                raise Unreadable("it resizes the batch")
            continue
        length = view.per_sample(place)
        start, end = (roi[index], roi[len(given) + index]) if crop and roi else (0.0, 1.0)
        if sizes:
            to, scale = int(sizes[index]), scales[index] if scales else sizes[index] / length
        else:
            scale = scales[index]
            to = floor(length * (end - start) * scale)
        if to < 1:
            raise Unreadable("nothing is left of it")
        result[place] = Axis(length, to, scale, start, end)
    return result


def _given(call: Call, old: bool) -> tuple[list[float], list[int], list[float]]:
    if old:
        scales = call.fixed(1).tolist() if call.has(1) else list(call.attributes.get("scales", ()))
        return scales, [], []
    scales = call.fixed(2).reshape(-1).tolist() if call.has(2) else []
    sizes = call.fixed(3).reshape(-1).tolist() if call.has(3) else []
    roi = call.fixed(1).reshape(-1).tolist() if call.has(1) else []
    return scales, sizes if not scales else [], roi


def _source(call: Call, axis: Axis) -> Array:
    """Where each result looks at the operand, by the transformation of coordinates."""
    old = call.op == "Upsample" or call.opset < 11
    mode = "asymmetric" if old else call.text("coordinate_transformation_mode", "half_pixel")
    at = np.arange(axis.to, dtype=np.float64)
    n, m, scale = axis.length, axis.to, axis.scale
    if mode == "asymmetric":
        return at / scale
    if mode == "align_corners":
        return at * (n - 1) / (n * scale - 1) if m > 1 else at * 0
    if mode == "pytorch_half_pixel":
        return (at + 0.5) / scale - 0.5 if m > 1 else at * 0
    if mode == "half_pixel_symmetric":
        adjustment = m / (n * scale)
        return n / 2 * (1 - adjustment) + (at + 0.5) / scale - 0.5
    if mode == "tf_crop_and_resize":
        if m == 1:
            return 0.5 * (axis.start + axis.end) * (n - 1) + at
        return axis.start * (n - 1) + at * (axis.end - axis.start) * (n - 1) / (m - 1)
    if mode == "tf_half_pixel_for_nn":
        return (at + 0.5) / scale
    return (at + 0.5) / scale - 0.5


def _matrix(call: Call, mode: str, axis: Axis) -> tuple[Array, Array]:
    """`to x length` weights, and which results look outside the operand (of crop_and_resize, which fills them)."""
    source = _source(call, axis)
    matrix = np.zeros((axis.to, axis.length))
    crop = call.text("coordinate_transformation_mode", "") == "tf_crop_and_resize"
    outside = ((source < 0) | (source > axis.length - 1)) & crop
    if mode == "nearest":
        for row, at in enumerate(_nearest(call, source)):
            matrix[row, min(max(at, 0), axis.length - 1)] = 1
    elif mode in ("linear", "cubic"):
        kernel, reach = _kernel(call, mode)
        stretch = min(axis.scale, 1.0) if call.whole("antialias", 0) else 1.0
        for row, at in enumerate(source):
            _spread(call, matrix[row], at, kernel, reach / stretch, stretch)
    else:
        raise Unreadable(f"resizing by `{mode}`")
    matrix[outside] = 0
    return matrix, outside


def _nearest(call: Call, source: Array) -> list[int]:
    old = call.op == "Upsample" or call.opset < 11
    how = "floor" if old else call.text("nearest_mode", "round_prefer_floor")
    rounding: dict[str, Callable[[float], int]] = {
        "floor": floor,
        "ceil": ceil,
        "round_prefer_floor": lambda x: ceil(x - 0.5),
        "round_prefer_ceil": lambda x: floor(x + 0.5),
    }
    if how not in rounding:
        raise Unreadable(f"rounding by `{how}`")
    return [rounding[how](float(at)) for at in source]


def _kernel(call: Call, mode: str) -> tuple[Callable[[float], float], int]:
    """The weight of an element at a distance, and how far it reaches."""
    if mode == "linear":
        return lambda x: max(1 - abs(x), 0.0), 1
    a = call.number("cubic_coeff_a", -0.75)

    def cubic(x: float) -> float:
        """Keys 1981, "Cubic convolution interpolation for digital image processing"."""
        x = abs(x)
        if x <= 1:
            return ((a + 2) * x - (a + 3)) * x * x + 1
        return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0

    return cubic, 2


def _spread(call: Call, row: Array, at: float, kernel: Callable[[float], float], reach: float, stretch: float) -> None:
    """Add the weights of one result; what lies outside is the border's, or counts nowhere."""
    low, high = floor(at - reach), ceil(at + reach)
    places = range(low, high + 1)
    weights = np.array([kernel((place - at) * stretch) for place in places])
    inside = np.array([0 <= place < len(row) for place in places])
    if call.whole("exclude_outside", 0):
        weights = weights * inside
    if call.whole("exclude_outside", 0) or stretch != 1:
        weights = weights / weights.sum()
    for place, weight in zip(places, weights, strict=True):
        row[min(max(place, 0), len(row) - 1)] += weight


def _upsample(view: View, mode: str, axes: dict[int, Axis], found: dict[int, tuple[Array, Array]]) -> Upsample | None:
    """The operator of the language that has the same matrices, if one has."""
    map_axes = tuple(range(2, view.rank))
    if view.rank not in (3, 4) or view.axes[0] != (BATCH,) or not found or any(place < 2 for place in found):
        return None
    if any(outside.any() for _, outside in found.values()):
        return None
    to = tuple(axes[place].to if place in axes else view.per_sample(place) for place in map_axes)
    kinds = {"nearest": [("nearest", False)], "linear": [("bilinear", False), ("bilinear", True)]}
    for name, corners in kinds.get(mode, []):
        if all(np.allclose(m, _ours(name, corners, axes[place]), atol=1e-6) for place, (m, _) in found.items()):
            return Upsample(name, to=to, corners=corners)
    return None


def _ours(mode: str, corners: bool, axis: Axis) -> Array:
    """The matrix of `upsample` along an axis."""
    at = np.arange(axis.to)
    matrix = np.zeros((axis.to, axis.length))
    if mode == "nearest":
        matrix[at, at * axis.length // axis.to] = 1
        return matrix
    if corners:
        source = at * (axis.length - 1) / max(axis.to - 1, 1)
    else:
        source = np.maximum((at + 0.5) * axis.length / axis.to - 0.5, 0)
    low = np.minimum(np.floor(source).astype(int), axis.length - 1)
    matrix[at, low] += 1 - (source - low)
    matrix[at, np.minimum(low + 1, axis.length - 1)] += source - low
    return matrix


READERS: dict[str, Callable[[Call], View]] = {"Resize": resize, "Upsample": resize}
