"""Pooling and its inverse."""

from __future__ import annotations

from math import prod

from netdsl.codegen.triton.float8 import LARGEST
from netdsl.codegen.triton.index import coordinates, linear
from netdsl.codegen.triton.kernels import Call, PoolKernel, UnpoolKernel
from netdsl.codegen.triton.lowerings.pointwise import element_place, zeros
from netdsl.codegen.triton.lowerings.reduce import reduction
from netdsl.codegen.triton.lowerings.spatial import blocks, feature_map, pixel_place, sides, times, two
from netdsl.codegen.triton.planner import Planner, kernel_stem
from netdsl.codegen.triton.site import Site
from netdsl.ops.pool import AdaptivePool, Pool, Unpool
from netdsl.tensor import DType

TITLES = {"max": "The maximum", "min": "The minimum", "avg": "The mean"}
START = {"max": "-inf", "min": "inf", "avg": "0.0"}
TAKEN = ("x", "y", "at", "rows")


def pool(planner: Planner, site: Site) -> None:
    """Windows one by one; a window over the whole map is a reduction."""
    op = site.op
    assert isinstance(op, Pool)
    x, y = feature_map(site.operands[0].type), feature_map(site.results[0].type)
    if op.kernel == site.operands[0].type.shape[1:] and not any(op.padding) and not op.indices and y.h * y.w == 1:
        axes = tuple(range(1, site.operands[0].type.rank))
        reduction(planner, site, {"avg": "mean", "max": "largest", "min": "smallest"}[op.function], axes)
        return
    top, left, bottom, right = sides(op.padding)
    counts_padding = op.function == "avg" and op.count_pad
    windows = dict(
        zip(
            ("KH", "KW", "SH", "SW", "PH", "PW", "DH", "DW"),
            (*two(op.kernel, 1), *two(op.stride, 1), top, left, *two(op.dilation, 1)),
            strict=True,
        )
    )
    if counts_padding:
        windows |= {"EH": x.h + bottom, "EW": x.w + right}
    _pool(planner, site, op.function, windows, indices=op.indices, counts_padding=counts_padding)


def adaptive_pool(planner: Planner, site: Site) -> None:
    """Windows of extents that differ by one at most."""
    op = site.op
    assert isinstance(op, AdaptivePool)
    x, y = feature_map(site.operands[0].type), feature_map(site.results[0].type)
    windows = {"KH": _widest(x.h, y.h), "KW": _widest(x.w, y.w)}
    _pool(planner, site, op.function, windows, adaptive=True)


def _widest(extent: int, count: int) -> int:
    """The largest of `count` adaptive windows over an extent."""
    return max(-(-(i + 1) * extent // count) - i * extent // count for i in range(count))


def _pool(
    planner: Planner,
    site: Site,
    function: str,
    windows: dict[str, int],
    *,
    adaptive: bool = False,
    indices: bool = False,
    counts_padding: bool = False,
) -> None:
    type = site.results[0].type
    x, y = feature_map(site.operands[0].type), feature_map(type)
    place = pixel_place(
        type, row="n", height="oh", width="ow", channel="channel", columns="channel_ok", offset="offset"
    )
    body = planner.body(place, TAKEN)
    text = site.finish(body, "acc")
    start = START[function]
    other = f'float("{start}")' if function != "avg" else start
    if planner.stored(site.operands[0]) is DType.FLOAT8:
        other = str(-LARGEST)  # e4m3 has no infinity
    spec = PoolKernel(
        TITLES[function],
        function,
        adaptive,
        indices,
        counts_padding,
        start,
        other,
        "minimum" if function == "min" else "maximum",
        "<" if function == "min" else ">",
        text,
    )
    m, n = planner.tiling.pixels(y.c)
    constants = {
        "H": x.h, "W": x.w, "XN": x.sn, "XC": x.sc, "XH": x.sh, "XW": x.sw,
        "OC": y.c, "OH": y.h, "OW": y.w, "YN": y.sn, "YC": y.sc, "YH": y.sh, "YW": y.sw,
        **windows, "BM": m, "BN": n,
    }  # fmt: skip
    rows = times(y.h * y.w, type)
    call = Call(blocks(rows, m, y.c, n), rows, tuple(constants.items()))
    stem = kernel_stem("adaptive" if adaptive else "", function, "pool", *site.words[1:], "indices" if indices else "")
    reads = (planner.read(site.operands[0]), *map(planner.read, body.parameters))
    planner.launch(site, "pool", stem, spec, reads, call)


def unpool(planner: Planner, site: Site) -> None:
    """Zeros first, then every element to its place. Where two have the same place, which one stays is left open."""
    op = site.op
    assert isinstance(op, Unpool)
    assert not site.tail
    values, places = site.operands
    result = site.result
    zeros(planner, site, result)
    row, (channel, *_) = coordinates("i", values.type)
    y = feature_map(result.type)
    target = linear([(row, y.sn), (channel, y.sc), (f"(place // {y.w})", y.sh), (f"(place % {y.w})", y.sw)])
    at = element_place(values.type).address(places.type)[0]
    spec = UnpoolKernel(f"Every element to the place in {y.h}x{y.w} that its index names.", at, target)
    count = times(prod(values.type.shape), result.type)
    block = planner.tiling.block()
    widest = max(result.type.size, values.type.size) * max(result.type.batch, 1)
    call = Call(f"cdiv({count}, {block})", count, (("BLOCK", block),), widest=widest)
    reads = tuple(planner.read(value) for value in site.operands)
    planner.launch(site, "unpool", kernel_stem("unpool", f"{y.c}x{y.h}x{y.w}"), spec, reads, call)
