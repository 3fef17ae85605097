"""A stem in one kernel: a convolution on a picture, and the largest of its result in windows, 2 pixels apart.

The picture is stored with the padding around it, so that no element of a window has to ask whether it lies inside.
"""

from __future__ import annotations

from collections.abc import Mapping

from netdsl.codegen.triton.kernels import Call, ConvPoolKernel
from netdsl.codegen.triton.lowerings.gemm import TAKEN
from netdsl.codegen.triton.lowerings.pairs import alone, call_of, merge, pays, step_of
from netdsl.codegen.triton.lowerings.spatial import feature_map, pixel_place, sides
from netdsl.codegen.triton.lowerings.tma import operands, tail
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
    """Put a stem's launches into one, where the cost model expects a gain. `makers`: the site of each value."""
    for b in tuple(planner.steps):
        second = makers.get(b.writes[0])
        first = makers.get(second.operands[0]) if second and second.operands else None
        a = step_of(planner, first)
        if first and second and a and first.operands[0] in planner.padded and _fits(planner, first, second):
            _pool(planner, first, second, a, b)


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
    )


def _pool(planner: Planner, first: Site, second: Site, a: Step, b: Step) -> None:
    windows = call_of(a)
    pool = second.op
    product, traffic = windows.work, call_of(b).work
    assert isinstance(product, Product)
    assert isinstance(traffic, Traffic)
    assert isinstance(pool, Pool)
    assert windows.shape
    m, y = feature_map(first.result.type), feature_map(second.result.type)
    size = pool.kernel[0]
    work = Pooled(product, traffic, (y.h, y.w), size)
    if not pays(planner, work):
        return
    place = pixel_place(
        second.result.type, row="n", height="oh", width="ow", channel="channel", columns="column_ok", offset="offset"
    )
    before = first.finish(planner.body(place, TAKEN), "sums")
    body = planner.body(place, (*TAKEN, *(line.partition(" ")[0] for line in before.lines)))
    spec = ConvPoolKernel(len(first.weights) > 1, size, planner.precision, planner.element, before, tail(second, body))
    top, left, _, _ = sides(pool.padding)
    given = dict(windows.shape.constants)
    constants = {name: given[name] for name in WINDOWS}
    constants |= {
        "MH": m.h, "MW": m.w, "OH": y.h, "OW": y.w, "YN": y.sn, "YC": y.sc, "YH": y.sh, "YW": y.sw,
        "PH": top, "PW": left, "POOL": size,
    }  # fmt: skip
    shape = planner.shape(f"{windows.shape.name}, pooled to {y.h}x{y.w}", constants, work)
    call = Call("", call_of(b).count, work=work, form="pool_products", shape=shape, apart=(windows, call_of(b)))
    stem = kernel_stem("conv", *first.words[1:], "pool", *second.words[1:])
    planner.launch(second, "conv_pool", stem, spec, (*a.reads, *map(planner.read, operands(body))), call)
    merge(planner, a, b)
