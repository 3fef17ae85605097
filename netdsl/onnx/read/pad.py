"""More elements at the ends of axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

import numpy as np

from netdsl.onnx.read.align import apart, arranged, together
from netdsl.onnx.read.call import Call, axis_of, without_batch
from netdsl.onnx.read.pieces import taken
from netdsl.onnx.read.values import BATCH, View
from netdsl.ops.maps import Crop, Pad


def pad(call: Call) -> View:
    """More elements at both ends of axes, one axis after the other where they are no map's."""
    view = call.view(0)
    widths = call.fixed(1).tolist() if call.has(1) else list(call.ints("pads") or call.ints("paddings"))
    value = call.attributes.get("value", 0.0)
    if call.has(2) and call.fixed(2).size:
        value = float(call.fixed(2).reshape(-1)[0])
    axes = call.axes(3, view.rank) if call.has(3) else None
    given = [axis_of(int(axis), view.rank) for axis in call.fixed(3)] if axes is not None else list(range(view.rank))
    half = len(widths) // 2
    sides = {axis: (int(widths[i]), int(widths[half + i])) for i, axis in enumerate(given)}
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}.get(call.text("mode", "constant"))
    plain = view.batch_axis == 0 and view.axes[0] == (BATCH,) and view.rank in (3, 4)
    view = _cut(call, view, sides, plain)
    sides = {axis: (max(before, 0), max(after, 0)) for axis, (before, after) in sides.items()}
    changed = [axis for axis, widths_ in sides.items() if any(widths_)]
    if mode and plain and all(axis >= 2 for axis in changed) and changed:
        op = Pad(_both_ends(view, sides), float(value), mode)
        return call.net.back(call.net.one(op, call.net.batch_first(view)), view)
    for axis in changed:
        view = _padded(call, view, axis, sides[axis], float(value), mode)
    return view


def _cut(call: Call, view: View, sides: Mapping[int, tuple[int, int]], plain: bool) -> View:
    """Without what padding of less than 0 cuts away: a map at all sides at once, anything else axis by axis."""
    cuts = {axis: (max(-before, 0), max(-after, 0)) for axis, (before, after) in sides.items()}
    changed = [axis for axis, ends in cuts.items() if any(ends)]
    if plain and all(axis >= 2 for axis in changed) and changed:
        return call.net.back(call.net.one(Crop(padding=_both_ends(view, cuts)), call.net.batch_first(view)), view)
    for axis in changed:
        start, end = cuts[axis]
        view = taken(call.net, view, axis, list(range(start, view.per_sample(axis) - end)))
    return view


def _both_ends(view: View, sides: Mapping[int, tuple[int, int]]) -> tuple[int, ...]:
    """Of the axes of a map: all starts, then all ends."""
    pairs = [sides.get(axis, (0, 0)) for axis in range(2, view.rank)]
    return (*(start for start, _ in pairs), *(end for _, end in pairs))


def _padded(call: Call, view: View, axis: int, sides: tuple[int, int], value: float, mode: str | None) -> View:
    """One axis, as the rows of a map."""
    without_batch(view, (axis,))
    length = view.per_sample(axis)
    if mode != "constant":
        wide = np.pad(np.arange(length), sides, mode={"reflect": "reflect", "replicate": "edge", None: "wrap"}[mode])  # type: ignore[call-overload]
        return taken(call.net, view, axis, wide.tolist())
    parted, frame = apart(view)
    start = frame.merged[0] if frame is not None and frame.merged is not None else view.rank
    place = axis if axis < start else axis + parted.rank - view.rank
    plain = arranged(call.net, parted)
    atoms = list(plain.value.type.shape)
    (atom,) = plain.axes[place]
    shape = (prod(atoms[:atom]), atoms[atom], prod(atoms[atom + 1 :]))
    rows = call.net.one(Pad((sides[0], 0, sides[1], 0), value), call.net.reshaped(plain.value, shape))
    atoms[atom] += sum(sides)
    result = call.net.reshaped(rows, tuple(atoms))
    return together(View(result, result.type.shape, plain.axes, view.whole), frame)


READERS: dict[str, Callable[[Call], View]] = {"Pad": pad}
