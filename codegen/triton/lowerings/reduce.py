"""Reductions, softmax and normalisations: rows that stay apart, and a depth that is gone through."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from netdsl.codegen.triton.index import decompose, linear, row_stride, storage_axes, strides
from netdsl.codegen.triton.kernels import Call, NormalizeKernel, ReduceKernel, SoftmaxKernel
from netdsl.codegen.triton.lowerings.spatial import ROW, times
from netdsl.codegen.triton.place import Coordinate, Place
from netdsl.codegen.triton.planner import Argument, Planner, kernel_stem
from netdsl.codegen.triton.site import Site
from netdsl.codegen.triton.tiling import power_above
from netdsl.ops.activation import LogSoftmax, Softmax
from netdsl.ops.norm import GroupNorm, LayerNorm
from netdsl.ops.reduce import Largest, Mean, Product, Reduce, Smallest, Sum
from netdsl.tensor import TensorType, shape_text

TAKEN = ("x", "y", "rows", "row", "row_ok", "x_row", "k", "acc", "value")
WHOLE = 8192
"""Elements of a tile up to which a row is held at once instead of being read again."""


class Axis(NamedTuple):
    """A run of elements: extent, and strides in operand and result."""

    extent: int
    x: int
    y: int


class Walk(NamedTuple):
    """How a kernel goes through an operand: rows that stay apart, and the depth inside each, outermost axis first.

    `x_n` and `y_n` are the strides from sample to sample.
    """

    rows: tuple[Axis, ...]
    depth: tuple[Axis, ...]
    x_n: int
    y_n: int

    @property
    def length(self) -> int:
        """Elements of the depth."""
        return prod(axis.extent for axis in self.depth)

    @property
    def along_rows(self) -> bool:
        """Whether neighbours in memory are rows."""
        return bool(self.rows) and min(axis.x for axis in self.rows) < min((axis.x for axis in self.depth), default=1)

    def offsets(self) -> tuple[str, str, str, str]:
        """Offset of a row in operand and result, and of element k of the depth in both."""
        n, *coordinates = decompose("row", [axis.extent for axis in self.rows], lead=True)
        steps = decompose("k", [axis.extent for axis in self.depth], lead=False)
        x_row = linear([(n, self.x_n), *zip(coordinates, [axis.x for axis in self.rows], strict=True)])
        y_row = linear([(n, self.y_n), *zip(coordinates, [axis.y for axis in self.rows], strict=True)])
        x_step = linear(zip(steps, [axis.x for axis in self.depth], strict=True))
        y_step = linear(zip(steps, [axis.y for axis in self.depth], strict=True))
        # Where all offsets are 0 there is one row, or one element of depth: its number is 0 as well, and a tile.
        return tuple(  # type: ignore[return-value]
            index if text == "0" else text
            for text, index in ((x_row, "row"), (y_row, "row"), (x_step, "k"), (y_step, "k"))
        )


def merged(axes: list[Axis]) -> tuple[Axis, ...]:
    """Neighbouring axes as one where both tensors go straight through them; axes of one element left out."""
    result: list[Axis] = []
    for axis in axes:
        if axis.extent == 1:
            continue
        if result and (result[-1].x, result[-1].y) == (axis.x * axis.extent, axis.y * axis.extent):
            result[-1] = Axis(result[-1].extent * axis.extent, axis.x, axis.y)
        else:
            result.append(axis)
    return tuple(result)


def reduce(planner: Planner, site: Site) -> None:
    """`mean`, `sum`, `product`, `largest`, `smallest`."""
    op = site.op
    assert isinstance(op, Reduce)
    names = {Mean: "mean", Sum: "sum", Product: "product", Largest: "largest", Smallest: "smallest"}
    reduction(planner, site, names[type(op)], op.axis)


def reduction(planner: Planner, site: Site, function: str, gone: tuple[int, ...]) -> None:
    """The axes `gone` of the operand become one element each."""
    source, result = site.operands[0].type, site.result.type
    into, out = strides(source), strides(result)
    kept = [axis for axis in range(source.rank) if axis not in gone]
    # In the result an axis that goes is absent, or has extent 1.
    place_of = {axis: axis if result.rank == source.rank else index for index, axis in enumerate(kept)}
    order = storage_axes(source)
    rows = [Axis(source.shape[a], into[a], out[place_of[a]]) for a in order if a not in gone]
    walk = Walk(
        merged(rows),
        merged([Axis(source.shape[a], into[a], 0) for a in order if a in gone]),
        row_stride(source),
        row_stride(result),
    )
    x_row, y_row, x_step, _ = walk.offsets()
    coordinates = dict(
        zip(
            [a for a in order if a in kept],
            decompose("row", [axis.extent for axis in rows], lead=True)[1:],
            strict=True,
        )
    )
    axes = tuple(
        Coordinate(coordinates[a] if a in kept else "0", ROW if a in kept else "")
        for a in range(source.rank)
        if result.rank == source.rank or a in kept
    )
    n = decompose("row", [axis.extent for axis in rows], lead=True)[0]
    place = Place(result, Coordinate(n, ROW), axes, y_row, {ROW: "row_ok"})
    body = planner.body(place, TAKEN)
    text = site.finish(body, "acc")
    starts = {"mean": "0.0", "sum": "0.0", "product": "1.0", "largest": 'float("-inf")', "smallest": 'float("inf")'}
    title = f"The {function} of {walk.length} elements, for each row."
    combine = {"product": "multiply", "largest": "maximum", "smallest": "minimum"}.get(function, "")
    spec = ReduceKernel(title, function, walk.length, starts[function], combine, x_row, x_step, y_row, text)
    m, k = planner.tiling.rows(walk.length, walk.along_rows)
    count = times(prod(axis.extent for axis in walk.rows), result)
    call = Call(f"cdiv({count}, {m})", count, (("BM", m), ("BK", k)))
    stem = kernel_stem(*site.words, shape_text(source.shape))
    reads = (planner.read(site.operands[0]), *map(planner.read, body.parameters))
    planner.launch(site, "reduce", stem, spec, reads, call)


def softmax(planner: Planner, site: Site) -> None:
    """`softmax` and `logsoftmax` along one axis."""
    op = site.op
    assert isinstance(op, Softmax)
    assert not site.tail
    type = site.operands[0].type
    walk = _along(type, site.result.type, op.axis % type.rank)
    x_row, y_row, x_step, y_step = walk.offsets()
    m, k = planner.tiling.rows(walk.length, walk.along_rows)
    whole, m, k = _held(walk.length, m, k)
    log = isinstance(op, LogSoftmax)
    title = f"{'The logarithm of softmax' if log else 'Softmax'} over {walk.length} elements, for each row."
    spec = SoftmaxKernel(title, log, whole, walk.length, x_row, x_step, y_row, y_step)
    _launch(planner, site, "softmax", walk, spec, (planner.read(site.operands[0]),), m, k)


def layer_norm(planner: Planner, site: Site) -> None:
    """Mean and variance along one axis; every element of it has a scale and shift of its own."""
    op = site.op
    assert isinstance(op, LayerNorm)
    type = site.operands[0].type
    walk = _along(type, site.result.type, op.axis % type.rank)
    _normalize(planner, site, walk, op.eps, "k", "")


def group_norm(planner: Planner, site: Site) -> None:
    """Mean and variance over a group of channels and all places; every channel has a scale and shift."""
    op = site.op
    assert isinstance(op, GroupNorm)
    source, result = site.operands[0].type, site.result.type
    into, out = strides(source), strides(result)
    width = source.shape[0] // op.groups
    depth = [Axis(width if a == 0 else source.shape[a], into[a], out[a]) for a in storage_axes(source)]
    inside = decompose("k", [axis.extent for axis in depth], lead=False)[storage_axes(source).index(0)]
    walk = Walk(
        (Axis(op.groups, into[0] * width, out[0] * width),), merged(depth), row_stride(source), row_stride(result)
    )
    group = f"row % {op.groups}" if op.groups > 1 else ""
    _normalize(planner, site, walk, op.eps, inside, linear([(group, width)]) if group else "")


def _normalize(planner: Planner, site: Site, walk: Walk, eps: float, inside: str, group: str) -> None:
    """Channel of an element: `inside` from its place k in the row, plus `group` from the row."""
    assert not site.tail
    weights = tuple(planner.read(value) for value in site.weights)
    x_row, y_row, x_step, y_step = walk.offsets()
    m, k = planner.tiling.rows(walk.length, walk.along_rows)
    whole, m, k = _held(walk.length, m, k)
    if group and inside != "0":
        channel, mask = f"({group})[:, None] + ({inside})[None, :]", f"(k < {walk.length})[None, :]"
    elif group:
        channel, mask = f"({group})[:, None]", ""
    else:
        channel, mask = f"({inside})[None, :]", f"(k < {walk.length})[None, :]"
    # A remainder stays below its divisor beyond the row too.
    guard = f", mask={mask}" if mask and "%" not in inside else ""
    title = f"Mean 0 and variance 1 over {walk.length} elements, for each row."
    spec = NormalizeKernel(title, bool(weights), whole, walk.length, eps, channel, guard, x_row, x_step, y_row, y_step)
    _launch(planner, site, "normalize", walk, spec, (planner.read(site.operands[0]), *weights), m, k)


def _along(source: TensorType, result: TensorType, axis: int) -> Walk:
    into, out = strides(source), strides(result)
    rows = [Axis(source.shape[a], into[a], out[a]) for a in storage_axes(source) if a != axis]
    depth = (Axis(source.shape[axis], into[axis], out[axis]),)
    return Walk(merged(rows), depth, row_stride(source), row_stride(result))


def _held(length: int, m: int, k: int) -> tuple[bool, int, int]:
    """Whether a row is held at once, and the block that goes with it."""
    deep = power_above(length)
    if deep <= k:
        return True, m, deep
    if deep * m <= WHOLE:
        return True, m, deep
    return False, m, k


def _launch(
    planner: Planner, site: Site, template: str, walk: Walk, spec: object, reads: tuple[Argument, ...], m: int, k: int
) -> None:
    count = times(prod(axis.extent for axis in walk.rows), site.result.type)
    call = Call(f"cdiv({count}, {m})", count, (("BM", m), ("BK", k)))
    stem = kernel_stem(*site.words, shape_text(site.operands[0].type.shape))
    planner.launch(site, template, stem, spec, reads, call)
