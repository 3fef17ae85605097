"""One kernel for all that computes or moves single elements: element i of the result, from wherever it comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from netdsl.codegen.triton.index import coordinates, linear, row_stride, same_storage, strides
from netdsl.codegen.triton.kernels import BodyText, Call, PointwiseKernel
from netdsl.codegen.triton.lowerings.spatial import times
from netdsl.codegen.triton.place import Body, Coordinate, Place
from netdsl.codegen.triton.planner import Planner, kernel_stem
from netdsl.codegen.triton.site import Site
from netdsl.ir.graph import Value
from netdsl.tensor import TensorType, shape_text

ELEMENT = "element"
TAKEN = ("i", "y", "count", "program", "inside")


def element_place(type: TensorType) -> Place:
    """A run of elements in the order of storage, without gaps: `i` counts them over all samples."""
    type = type._replace(pitch=0)
    row, axes = coordinates("i", type)
    marked = tuple(Coordinate(text, ELEMENT if text != "0" else "") for text in axes)
    return Place(type, Coordinate(row, ELEMENT), marked, "i", {ELEMENT: "inside"})


def elementwise(planner: Planner, site: Site) -> None:
    """The anchor and its tail, on each element."""
    place = element_place(site.result.type)
    body = planner.body(place, TAKEN)
    variables: dict[Value, str] = {}
    for node in site.chain:
        body.apply(node, variables, site.outer)
    last = variables[site.chain[-1].outputs[0]]
    text = BodyText(tuple(body.parameters.values()), tuple(body.lines), last, body.helpers)
    emit(planner, site, "_".join(site.words), text, body, site.result)


Compute = Callable[[Body, tuple[Coordinate, ...]], str]


def pointwise(planner: Planner, site: Site, compute: Compute, result: Value | None = None, stem: str = "") -> None:
    """A kernel in which `compute` adds the statements that make element `i`; it returns the variable that holds it."""
    result = result or site.result
    place = element_place(result.type)
    body = planner.body(place, TAKEN)
    first = compute(body, place.axes)
    text = replace(site.finish(body, first), parameters=tuple(body.parameters.values()))
    emit(planner, site, stem or "_".join(site.words), text, body, result)


def zeros(planner: Planner, site: Site, result: Value) -> None:
    """Fill a value with zeros."""
    text = BodyText(result="0.0")
    emit(planner, site, "zeros", text, Body(element_place(result.type), planner.half), result)


def copy(planner: Planner, site: Site, operand: Value, result: Value) -> None:
    """The same elements, stored as the result's type says."""

    def compute(body: Body, axes: Sequence[Coordinate]) -> str:
        return body.load(operand, "value")

    pointwise(planner, site, compute, result, "copy")


def copy_part(planner: Planner, site: Site, operand: Value, result: Value, start: int) -> None:
    """The elements of an operand of a concatenation, from `start` on in each row of its result."""
    # As many rows as the result has, even where the operand is a weight.
    body = planner.body(element_place(result.type._replace(shape=operand.type.shape)), TAKEN)
    value = body.load(operand, "value", at(body, operand, [axis.text for axis in body.place.axes]))
    text = BodyText(tuple(body.parameters.values()), tuple(body.lines), value)
    emit(planner, site, "copy_part", text, body, result, start)


def emit(planner: Planner, site: Site, stem: str, text: BodyText, body: Body, result: Value, start: int = 0) -> None:
    """Add the launch of a pointwise kernel. If it never asks where element `i` is, any shape can share it.

    Element `i` of the body's place is stored where the result has it, `start` elements on.
    """
    type = body.place.type
    as_it_lies = same_storage(type, result.type)
    target = "i" if as_it_lies else at(body, result, [axis.text for axis in body.place.axes])[0]
    target += f" + {start}" if start else ""
    shaped = any(mark in line for line in (*text.lines, target) for mark in ("i //", "i %"))
    title = f"Each element of {shape_text(type.shape)}." if shaped else "Each element."
    spec = PointwiseKernel(title, target, text)
    # Sine brings its argument into one period, which takes registers: half as many elements, or sm_80 has too few.
    sines = any(name in line for line in text.lines for name in ("tl.sin(", "tl.cos("))
    block = planner.tiling.block() // (2 if sines else 1)
    count = times(type.size, type)
    widest = max(max(v.size, row_stride(v)) for v in (type, result.type, *(value.type for value in body.parameters)))
    call = Call(f"cdiv({count}, {block})", count, (("BLOCK", block),), widest=widest * max(type.batch, 1))
    name = kernel_stem(stem, shape_text(type.shape) if shaped else "")
    reads = tuple(planner.read(value) for value in body.parameters)
    planner.launch(site, "pointwise", name, spec, reads, call, (result,))


def at(body: Body, value: Value, axes: Sequence[str], condition: str = "") -> tuple[str, str]:
    """Offset and mask with which the element of an operand at `axes`, in the row of the tile, is read."""
    terms = [(body.place.row.text, row_stride(value.type)), *zip(axes, strides(value.type), strict=True)]
    return linear(terms), f"inside & {condition}" if condition else "inside"
