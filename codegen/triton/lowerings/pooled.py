"""A convolution in one kernel with the largest of its result in windows, 2 pixels apart.

In a stem, its picture is stored with the padding around it, so that no element has to ask whether it lies inside;
windows may overlap. Elsewhere boxes are fetched (TMA), and windows of 2 x 2 fill them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from netdsl.codegen.triton.kernels import Call, ConvPoolKernel, PoolTmaKernel
from netdsl.codegen.triton.lowerings.gemm import TAKEN
from netdsl.codegen.triton.lowerings.pairs import alone, call_of, half, merge, pays, step_of
from netdsl.codegen.triton.lowerings.spatial import feature_map, pixel_place, sides
from netdsl.codegen.triton.lowerings.tma import BOX, WHERE, fits, maps, operands, tail
from netdsl.codegen.triton.planner import Planner, Step, kernel_stem
from netdsl.codegen.triton.site import Site, site
from netdsl.codegen.triton.work import Pooled, Product, Traffic
from netdsl.ir.graph import Value
from netdsl.ops.conv import Conv
from netdsl.ops.pool import Pool
from netdsl.tensor import DType

WIDEST = 64
"""Elements of a row of the kernel, all of which are in one step."""
PLAIN = (0, 0, 0, 0)
POOL_TAKEN = (*TAKEN, "sums", "left", "right", "place")
BOXES = ("C", "H", "W", "XN", "XH", "XW", "KH", "KW", "SH", "PH", "PW", "DH", "DW", "OC")
WINDOWS = ("C", "XN", "XH", "KH", "KW", "SH", "SW", "WK", "OC")


def border(planner: Planner, picture: Value) -> tuple[int, int, int, int]:
    """Zeros stored above, left, below and right of a picture with four channels: the padding of a stem."""
    readers = [site(node) for node in planner.readers.get(picture, ())]
    if len(readers) != 1 or not isinstance(readers[0].op, Conv) or picture.type.rank != 3:
        return PLAIN
    after = [site(node) for node in planner.readers.get(readers[0].result, ())]
    if len(after) != 1 or not _fits(planner, readers[0], after[0]):
        return PLAIN
    return sides(readers[0].op.padding)


def pool_convolutions(planner: Planner, makers: Mapping[Value, Site]) -> None:
    """Put both launches into one, where the cost model expects a gain. `makers`: the site of each value."""
    for b in tuple(planner.steps):
        second = makers.get(b.writes[0])
        first = makers.get(second.operands[0]) if second and second.operands else None
        a = step_of(planner, first)
        if not (first and second and a and _fits(planner, first, second)):
            continue
        if first.operands[0] in planner.padded:
            _pool(planner, first, second, a, b)
        elif call_of(a).twin and planner.half:
            _pool_boxes(planner, first, second, a, b)


def _fits(planner: Planner, first: Site, second: Site) -> bool:
    """Whether one kernel can do both: a dense convolution, and a maximum in windows of 2 x 2 or 3 x 3 right after it.

    Not in exact float32: its tiles are small, and half of their pixels would be computed twice.
    """
    conv, pool = first.op, second.op
    return (
        isinstance(conv, Conv)
        and isinstance(pool, Pool)
        and planner.dtype is not DType.FLOAT32
        and len(conv.kernel) == 2
        and conv.groups == 1
        and conv.dilation == (1, 1)
        and 4 * conv.kernel[1] <= WIDEST
        and (pool.function, pool.indices) == ("max", False)
        and pool.kernel in ((2, 2), (3, 3))
        and (pool.stride, pool.dilation) == ((2, 2), (1, 1))
        and pool.kernel != second.operands[0].type.shape[1:]
        and all(len(node.inputs) == 1 for node in first.tail)
        and alone(planner, first.result, second)
        and half(planner, first, second)
    )


def _pool(planner: Planner, first: Site, second: Site, a: Step, b: Step) -> None:
    windows, pool = call_of(a), second.op
    assert windows.shape
    assert isinstance(pool, Pool)
    work = _work(second, a, b)
    if not pays(planner, work):
        return
    m, y = feature_map(first.result.type), feature_map(second.result.type)
    place = pixel_place(
        second.result.type, row="n", height="oh", width="ow", channel="channel", columns="column_ok", offset="offset"
    )
    before = first.finish(planner.body(place, POOL_TAKEN), "sums")
    body = planner.body(place, (*POOL_TAKEN, *(line.partition(" ")[0] for line in before.lines)))
    spec = ConvPoolKernel(
        len(first.weights) > 1, work.size, planner.precision, planner.element, before, tail(second, body)
    )
    top, left, _, _ = sides(pool.padding)
    given = dict(windows.shape.constants)
    constants = {name: given[name] for name in WINDOWS}
    constants |= {
        "MH": m.h, "MW": m.w, "OH": y.h, "OW": y.w, "YN": y.sn, "YC": y.sc, "YH": y.sh, "YW": y.sw,
        "PH": top, "PW": left, "POOL": work.size,
    }  # fmt: skip
    shape = planner.shape(f"{windows.shape.name}, pooled to {y.h}x{y.w}", constants, work)
    call = Call("", call_of(b).count, work=work, form="pool_products", shape=shape, apart=(windows, call_of(b)))
    stem = kernel_stem("conv", *first.words[1:], "pool", *second.words[1:])
    planner.launch(second, "conv_pool", stem, spec, (*a.reads, *map(planner.read, operands(body))), call)
    merge(planner, a, b)


def _pool_boxes(planner: Planner, first: Site, second: Site, a: Step, b: Step) -> None:
    windows, pool = call_of(a), second.op
    assert windows.shape
    assert isinstance(pool, Pool)
    m, y = feature_map(first.result.type), feature_map(second.result.type)
    place = pixel_place(
        second.result.type, row="n", height="oh", width="ow", channel="channel", columns="column_ok", offset="offset"
    )
    place = replace(place, box=BOX)
    before = first.finish(planner.body(place, POOL_TAKEN), "sums")
    body = planner.body(place, (*POOL_TAKEN, *(line.partition(" ")[0] for line in before.lines)))
    text = tail(second, body)
    work = _work(second, a, b)
    if (
        pool.kernel != (2, 2)
        or any(pool.padding)
        or m.h < 2 * y.h
        or m.w < 2 * y.w
        or y.sc != 1
        or not fits(planner, second, body, (y.sw, y.sh, y.sn))
        or not pays(planner, work)
    ):
        return
    spec = PoolTmaKernel(len(first.weights) > 1, any(map(WHERE.search, text.lines)), planner.element, before, text)
    given = dict(windows.shape.constants)
    constants = {name: given[name] for name in BOXES}
    constants |= {"OH": y.h, "OW": y.w, "YN": y.sn, "YH": y.sh, "YW": y.sw, "POOL": work.size}
    shape = planner.shape(f"{windows.shape.name}, pooled to {y.h}x{y.w}", constants, work)
    apart = (windows, call_of(b))
    call = Call("", apart[1].count, work=work, form="pool_boxes", shape=shape, maps=maps(body), apart=apart)
    stem = kernel_stem("conv", *first.words[1:], "pool", *second.words[1:], "tma")
    planner.launch(second, "conv_pool_tma", stem, spec, (*a.reads, *map(planner.read, operands(body))), call)
    merge(planner, a, b)


def _work(second: Site, a: Step, b: Step) -> Pooled:
    product, traffic = call_of(a).work, call_of(b).work
    assert isinstance(product, Product)
    assert isinstance(traffic, Traffic)
    assert isinstance(second.op, Pool)
    y = feature_map(second.result.type)
    return Pooled(product, traffic, (y.h, y.w), second.op.kernel[0])
