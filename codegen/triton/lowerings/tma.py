"""Twins of the matrix kernels for GPUs whose copy engine fetches whole boxes of a tensor (TMA, sm_90).

Places outside a tensor read as zeros, which is the padding, and are not written. The engine asks for addresses and
strides that are multiples of 16 bytes; where an operand has others, the layer has no twin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from netdsl.codegen.triton.float8 import LARGEST
from netdsl.codegen.triton.kernels import BodyText, TmaKernel
from netdsl.codegen.triton.lowerings.spatial import Map
from netdsl.codegen.triton.place import Body, Place
from netdsl.codegen.triton.planner import Planner
from netdsl.codegen.triton.site import Site
from netdsl.ir.graph import Value
from netdsl.ops.activation import Gelu
from netdsl.tensor import DType

ALIGNMENT = 16
"""Bytes (CUDA driver API, cuTensorMapEncodeTiled)."""
BOX = ".load([n0, h0, w0, column0]).reshape(BM, BN)"
"""A tile of a map of the result's size."""
WHERE = re.compile(r"\b(row|n|oh|ow|inside)\b")
"""Variables that say where the elements of a tile lie."""


def fits(planner: Planner, site: Site, body: Body, strides: Iterable[int]) -> bool:
    """Whether all operands of the size of a map can be fetched as boxes.

    Inputs of the network lie where the caller has put them: at any address.
    """
    type = site.result.type
    source = planner.source(site.operands[0])
    maps = [planner.source(value) for value in body.parameters if body.place.is_map(value.type)]
    size = min(planner.stored(value).size for value in (source, site.result, *maps))
    return (
        planner.dtype is not DType.FLOAT32
        and bool(type.batch)
        and source.type.batch == type.batch
        and not {source, *maps}.intersection((*planner.graph.inputs, *planner.constants))
        and all(stride * size % ALIGNMENT == 0 for stride in strides)
    )


def windows_fit(x: Map, y: Map, kernel: tuple[int, int], stride: tuple[int, int], depth: int) -> bool:
    """Whether a tap of all windows is a box: at stride 1, or at stride 2 in a map that splits into even and odd.

    There channels are a multiple of `depth`, the least of a step: no box reaches into the next pixel.
    """
    even = stride == (2, 2) and x.h % 2 == x.w % 2 == 0 and x.c % depth == 0
    return x.c % 8 == 0 and x.sc == y.sc == 1 and kernel[0] * kernel[1] > 0 and (stride == (1, 1) or even)


def twin(planner: Planner, site: Site, template: str, stem: str, place: Place, taken: Iterable[str], bias: bool) -> str:
    """The kernel that fetches boxes. Its parameters are those of the ordinary one, in the same order."""
    body = planner.body(place, tuple(taken))
    text = tail(site, body)
    located = any(WHERE.search(line) for line in text.lines)
    scaled = planner.stored(site.operands[0]) is DType.FLOAT8
    return planner.kernel(template, f"{stem}_tma", TmaKernel(bias, scaled, planner.precision, located, text))


def tail(site: Site, body: Body) -> BodyText:
    """The tail of a product; of what it reads, tensors of the result's size come last. Float8 results are cut."""
    text = site.finish(body, "acc")
    if site.result in body.scales:
        scale = body.parameter(body.scales[site.result], "y_scale")
        line = f"stored = clamp({text.result} / tl.load({scale}), {-LARGEST}, {LARGEST})"
        text = replace(text, lines=(*text.lines, line), result="stored")
    return replace(text, parameters=tuple(body.parameters[value] for value in operands(body)))


def operands(body: Body) -> list[Value]:
    """What a tail reads: first the vectors, then the maps."""
    return sorted(body.parameters, key=lambda value: body.place.is_map(value.type))


def crowded(site: Site) -> bool:
    """Whether the tail holds many values of each element at once, as the error function does."""
    return any(isinstance(node.op, Gelu) for node in site.tail)


def maps(body: Body) -> int:
    """How many of the operands are maps."""
    return sum(body.place.is_map(value.type) for value in body.parameters)
