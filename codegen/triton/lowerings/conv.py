"""Convolution: an implicit matrix product; depthwise and 1x1 have kernels of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import NamedTuple

from netdsl.codegen.triton.kernels import Call, ConvKernel, DepthwiseKernel
from netdsl.codegen.triton.lowerings.gemm import TAKEN, entering, kept, matrices, matrix_width, product
from netdsl.codegen.triton.lowerings.spatial import (
    Map,
    blocks,
    feature_map,
    pixel_place,
    pixel_row_place,
    sides,
    times,
    two,
)
from netdsl.codegen.triton.lowerings.tma import BOX, crowded, fits, maps, operands, tail, twin, windows_fit
from netdsl.codegen.triton.planner import Argument, Packed, Planner, kernel_stem
from netdsl.codegen.triton.site import Site
from netdsl.codegen.triton.work import Depthwise, Near, Product
from netdsl.ops.conv import Conv
from netdsl.tensor import TensorType

PACKED_BELOW = 16
"""Input channels of a group below which a step spans kernel positions too: a product is 16 deep at least."""


class Windows(NamedTuple):
    """Windows over a map: what one launch of the implicit product computes.

    The result's rows and columns are `out` of them, `steps` apart and starting at `first` in the whole result; the
    windows start `pad` before the input, which may be negative.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]
    dilation: tuple[int, int]
    out: tuple[int, int]
    steps: tuple[int, int] = (1, 1)
    first: tuple[int, int] = (0, 0)


def conv(planner: Planner, site: Site) -> None:
    """A product of pixels x channels by the fitting kernel."""
    op = site.op
    assert isinstance(op, Conv)
    given = site.operands[0]
    stored, above, beside = planner.padded.get(given, (given, 0, 0))
    site = replace(site, operands=(stored,))
    x, y = feature_map(site.operands[0].type), feature_map(site.result.type)
    top, left, _, _ = sides(op.padding)
    pad = (top - above, left - beside)
    windows = Windows(two(op.kernel, 1), two(op.stride, 1), pad, two(op.dilation, 1), (y.h, y.w))
    if x.c == op.groups > 1:
        _depthwise(planner, site, x, y, windows)
    elif (
        op.groups == 1
        and prod(op.kernel) == prod(op.stride) == 1
        and not any(op.padding)
        and _is_matrix(site.operands[0].type)
        and _is_matrix(site.result.type)
    ):
        place = pixel_row_place(site.result.type, y.h * y.w, y.w)
        product(planner, site, "{}", y.h * y.w, x.c, op.out, place)
    else:
        spread = "{}.unsqueeze(2)" if len(op.kernel) == 1 else "{}"
        if given in planner.padded:
            spread = f"torch.nn.functional.pad({spread}, (0, 0, 0, 0, 0, 1))"
        weights = matrices(planner, site, f"{spread}.permute(0, 2, 3, 1)")
        implicit(planner, site, weights, x, y, windows, op.groups)


def _is_matrix(type: TensorType) -> bool:
    """Whether a map is a matrix of pixels x channels as it lies."""
    m = feature_map(type)
    return (m.c == 1 or m.sc == 1) and (m.w == 1 or m.sw == m.c) and (m.h == 1 or m.sh == m.w * m.c)


def implicit(
    planner: Planner, site: Site, weights: Sequence[Argument], x: Map, y: Map, windows: Windows, groups: int
) -> None:
    """The launch of one implicit product, into all of the result or into every so many of its rows and columns."""
    depth, columns = x.c // groups, y.c // groups
    kernel, stride, out = windows.kernel, windows.stride, windows.out
    place = pixel_place(
        site.result.type,
        row="n",
        height=_spread("oh", windows.steps[0], windows.first[0]),
        width=_spread("ow", windows.steps[1], windows.first[1]),
        channel="channel",
        columns="column_ok",
        offset="offset",
    )
    bias, spec_bias = biased(planner, site)
    body = planner.body(place, TAKEN)
    packed = depth < PACKED_BELOW
    text, (scaled, element) = tail(site, body), entering(planner, site)
    spec = ConvKernel(spec_bias, scaled, packed, planner.precision, element, text)
    taps = kernel[0] * kernel[1]
    stem = kernel_stem("conv", "packed" if packed else "", *site.words[1:])
    boxed = (
        groups == 1
        and not packed
        and windows_fit(x, y, kernel, stride, 32 if scaled else 16)
        and fits(planner, site, body, (x.c, x.sw, x.sh, x.sn, y.sw, y.sh, y.sn))
    )
    box = replace(place, box=BOX)
    # A channel of zeros is no work; a transposed convolution does its weights in parts.
    once = site.weights[0].type.size if isinstance(site.op, Conv) else columns * groups * depth * taps
    work = Product(
        site.result.type.batch, out, columns, depth * taps if packed else depth, 1 if packed else taps,
        x.c * min(x.h, out[0] * kernel[0]) * min(x.w, out[1] * kernel[1]), once,
        planner.stored(site.operands[0]), maps(body), groups, "windows" if boxed else "", stride == (2, 2),
        Near(x.c, kernel, stride) if packed else None, kept(planner, site), crowded(site),
    )  # fmt: skip
    constants = {
        "C": depth, "H": x.h, "W": x.w, "XN": x.sn, "XC": x.sc, "XH": x.sh, "XW": x.sw,
        "OC": columns, "OH": out[0], "OW": out[1], "YN": y.sn, "YC": y.sc,
        "YH": y.sh * windows.steps[0], "YW": y.sw * windows.steps[1],
        "Y0": y.sh * windows.first[0] + y.sw * windows.first[1],
        "KH": kernel[0], "KW": kernel[1], "SH": stride[0], "SW": stride[1], "PH": windows.pad[0], "PW": windows.pad[1],
        "DH": windows.dilation[0], "DW": windows.dilation[1], "WK": matrix_width(taps * depth), "GROUPS": groups,
    }  # fmt: skip
    name = f"conv {kernel[0]}x{kernel[1]} {x.c}x{x.h}x{x.w} to {y.c}x{out[0]}x{out[1]}"
    call = Call(
        "",
        times(out[0] * out[1], site.result.type),
        work=work,
        form="convolve",
        shape=planner.shape(name, constants, work),
        twin=twin(planner, site, "conv_tma", stem, box, TAKEN, spec_bias) if boxed else "",
        maps=maps(body),
    )
    reads = (planner.read(site.operands[0]), *weights, *bias, *map(planner.read, operands(body)))
    planner.launch(site, "conv_implicit_gemm", stem, spec, reads, call)


def _depthwise(planner: Planner, site: Site, x: Map, y: Map, windows: Windows) -> None:
    place = pixel_place(
        site.result.type, row="n", height="oh", width="ow", channel="channel", columns="channel_ok", offset="offset"
    )
    bias, spec_bias = biased(planner, site)
    body = planner.body(place, TAKEN)
    spec = DepthwiseKernel(spec_bias, site.finish(body, "acc"))
    weight = Packed(site.weights[0], "cast({}.flatten(1).t())")
    m, n = planner.tiling.pixels(y.c)
    constants = {
        "H": x.h, "W": x.w, "XN": x.sn, "XC": x.sc, "XH": x.sh, "XW": x.sw,
        "OC": y.c, "OH": y.h, "OW": y.w, "YN": y.sn, "YC": y.sc, "YH": y.sh, "YW": y.sw,
        "KH": windows.kernel[0], "KW": windows.kernel[1], "SH": windows.stride[0], "SW": windows.stride[1],
        "PH": windows.pad[0], "PW": windows.pad[1], "DH": windows.dilation[0], "DW": windows.dilation[1],
        "MULTIPLIER": y.c // x.c, "BM": m, "BN": n,
    }  # fmt: skip
    rows = times(y.h * y.w, site.result.type)
    work = Depthwise(
        site.result.type.batch, (y.h, y.w), y.c, windows.kernel, windows.stride, x.c * x.h * x.w,
        site.weights[0].type.size, planner.dtype, maps(body), m * n,
    )  # fmt: skip
    call = Call(blocks(rows, m, y.c, n), rows, tuple(constants.items()), work)
    reads = (planner.read(site.operands[0]), weight, *bias, *map(planner.read, body.parameters))
    planner.launch(site, "depthwise", kernel_stem("depthwise", *site.words[1:]), spec, reads, call)


def biased(planner: Planner, site: Site) -> tuple[tuple[Argument, ...], bool]:
    """The bias as an argument, and whether there is one."""
    given = tuple(planner.read(value) for value in site.weights[1:])
    return given, bool(given)


def _spread(name: str, step: int, first: int) -> str:
    """The place in the whole result of element `name` of every `step`-th from `first`."""
    if step == 1:
        return name
    return f"({name} * {step} + {first})" if first else f"({name} * {step})"
