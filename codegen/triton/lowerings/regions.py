"""Regions of feature maps: each element of the result reads its box, then its cell of the map."""

from __future__ import annotations

from collections.abc import Sequence

from netdsl.codegen.render import literal
from netdsl.codegen.triton.index import linear, row_stride, strides
from netdsl.codegen.triton.lowerings.pointwise import at, pointwise
from netdsl.codegen.triton.place import Body, Coordinate
from netdsl.codegen.triton.planner import Planner
from netdsl.codegen.triton.site import Site
from netdsl.ops.regions import RegionOp, RoiAlign, RoiPool

SIDES = (("top", "bottom", "h"), ("left", "right", "v"))
"""For each axis: the names of a box's ends along it, and of a coordinate."""


def roi_pool(planner: Planner, site: Site) -> None:
    """Cells differ in their extents: as many steps as the largest of a block of elements takes."""
    op, (x, _) = site.op, site.operands
    assert isinstance(op, RoiPool)

    def compute(body: Body, axes: Sequence[Coordinate]) -> str:
        _corners(body, site, op, axes)
        for (start, end, name), axis, count, length in _by_axis(op, site, axes):
            for corner in (start, end):
                body.lines.append(f"{corner} = nearest({corner})")
            body.lines += [
                f"{name}_extent = tl.maximum({end} - {start} + 1, 1)",
                f"{name}_from = {start} + ({axis}) * {name}_extent // {count}",
                f"{name}_to = {start} + (({axis} + 1) * {name}_extent + {count - 1}) // {count}",
                f"{name}_from = tl.minimum(tl.maximum({name}_from, 0), {length})",
                f"{name}_to = tl.minimum(tl.maximum({name}_to, 0), {length})",
            ]
        _, row, column = strides(x.type)
        pointer = body.parameter(x, "x")
        body.lines += [
            f"base = {_base(body, site, axes)}",
            'value = tl.full(i.shape, float("-inf"), tl.float32)',
            "for h in tl.range(0, tl.max(h_to - h_from)):",
            "    for v in tl.range(0, tl.max(v_to - v_from)):",
            "        seen = inside & (h_from + h < h_to) & (v_from + v < v_to)",
            f"        offset = base + {linear([('(h_from + h)', row), ('(v_from + v)', column)])}",
            f'        one = tl.load({pointer} + offset, mask=seen, other=float("-inf")){body.widen(x)}',
            "        value = maximum(value, one)",
            "value = tl.where((h_from < h_to) & (v_from < v_to), value, 0.0)",
        ]
        return "value"

    pointwise(planner, site, compute)


def roi_align(planner: Planner, site: Site) -> None:
    """The mean of a cell's points, each between its four neighbours."""
    op, (x, _) = site.op, site.operands
    assert isinstance(op, RoiAlign)

    def compute(body: Body, axes: Sequence[Coordinate]) -> str:
        _corners(body, site, op, axes)
        for (start, end, name), axis, count, _ in _by_axis(op, site, axes):
            extent = f"{end} - {start}" if op.aligned else f"tl.maximum({end} - {start}, 1.0)"
            body.lines.append(f"{name}_step = ({extent}) / {count * op.points}")
            body.lines.append(f"{name}_cell = ({axis}) * {op.points} + 0.5")
        pointer = body.parameter(x, "x")
        body.lines += [f"base = {_base(body, site, axes)}", "value = tl.zeros(i.shape, tl.float32)"]
        body.lines.append(f"for point in tl.range(0, {op.points**2}):")
        place = {"h": f"point // {op.points}", "v": f"point % {op.points}"}
        for (start, _, name), _, _, length in _by_axis(op, site, axes):
            body.lines += [
                f"    {name} = {start} + ({name}_cell + {place[name]}) * {name}_step",
                f"    {name}_seen = ({name} >= -1.0) & ({name} <= {float(length)})",
                f"    {name} = tl.minimum(tl.maximum({name}, 0.0), {float(length - 1)})",
                f"    {name}_low = tl.minimum({name}.to(tl.int32), {length - 1})",
                f"    {name}_high = tl.minimum({name}_low + 1, {length - 1})",
                f"    {name}_share = {name} - {name}_low",
            ]
        body.lines.append("    seen = inside & h_seen & v_seen")
        for h in ("low", "high"):
            for v in ("low", "high"):
                offset = linear(zip((f"h_{h}", f"v_{v}"), strides(x.type)[1:], strict=True))
                weight = " * ".join(
                    f"{n}_share" if e == "high" else f"(1.0 - {n}_share)" for n, e in zip("hv", (h, v), strict=True)
                )
                load = f"tl.load({pointer} + base + {offset}, mask=seen, other=0.0){body.widen(x)}"
                body.lines.append(f"    value += {load} * {weight}")
        body.lines.append(f"value = value / {float(op.points**2)}")
        return "value"

    pointwise(planner, site, compute)


def _corners(body: Body, site: Site, op: RegionOp, axes: Sequence[Coordinate]) -> None:
    """The box of each element, in elements of the map."""
    boxes = site.operands[1]
    shift = " - 0.5" if isinstance(op, RoiAlign) and op.aligned else ""
    for place, name in enumerate(("left", "top", "right", "bottom")):
        variable = body.load(boxes, name, at(body, boxes, [axes[0].text, str(place)]))
        body.lines.append(f"{variable} = {variable} * {literal(op.scale)}{shift}")


def _base(body: Body, site: Site, axes: Sequence[Coordinate]) -> str:
    """The offset of an element's channel in the map."""
    x = site.operands[0].type
    return linear([(body.place.row.text, row_stride(x)), (axes[1].text, strides(x)[0])])


def _by_axis(op: RegionOp, site: Site, axes: Sequence[Coordinate]) -> list[tuple[tuple[str, str, str], str, int, int]]:
    """Of each spatial axis: names, the cell's coordinate, cells, extent of the map."""
    texts = (axes[2].text, axes[3].text)
    return list(zip(SIDES, texts, op.kernel, site.operands[0].type.shape[1:], strict=True))
