"""Transposed convolution: one product where windows do not overlap, else one for each place between the strides."""

from __future__ import annotations

from dataclasses import replace
from math import gcd, prod
from typing import NamedTuple

from netdsl.codegen.triton.kernels import Call, ConvKernel
from netdsl.codegen.triton.lowerings.conv import Windows, biased, implicit
from netdsl.codegen.triton.lowerings.gemm import TAKEN, entering, kept, matrix_width
from netdsl.codegen.triton.lowerings.spatial import feature_map, pixel_place, sides, times, two
from netdsl.codegen.triton.lowerings.tma import crowded, fits, maps, operands, tail, twin
from netdsl.codegen.triton.planner import Packed, Planner, kernel_stem
from netdsl.codegen.triton.site import Site
from netdsl.codegen.triton.work import Product
from netdsl.ops.conv import UpConv

BOX = ".load([line0, up, w0, right, column0]).reshape(BM, BN)"
"""A tile of a map of the result's size: every so many of its rows and pixels."""


def upconv(planner: Planner, site: Site) -> None:
    """A launch for all taps, or one for each place that an output can have between the strides."""
    op = site.op
    assert isinstance(op, UpConv)
    apart = op.kernel == op.stride and prod(op.dilation) == op.groups == 1 and not any((*op.padding, *op.outpad))
    if apart and prod(op.kernel) > 1:
        _at_once(planner, site)
    else:
        _in_turn(planner, site)


def _at_once(planner: Planner, site: Site) -> None:
    """Rows are pixels of the input, columns the taps and their channels: each pixel becomes a block of its own."""
    op = site.op
    assert isinstance(op, UpConv)
    x, y = feature_map(site.operands[0].type), feature_map(site.result.type)
    taps = two(op.kernel, 1)
    place = pixel_place(
        site.result.type,
        row="n",
        height="(oh * UH + up)",
        width="(ow * UW + right)",
        channel="channel",
        columns="column_ok",
        offset="offset",
    )
    bias, has_bias = biased(planner, site)
    body = planner.body(place, TAKEN)
    text, (scaled, element) = tail(site, body), entering(planner, site)
    spec = ConvKernel(has_bias, scaled, False, planner.precision, element, text, spread=True)
    stem = kernel_stem("upconv", *site.words[1:])
    boxed = (
        x.c % 8 == 0
        and x.sc == y.sc == 1
        and (x.sn, y.sn) == (x.h * x.sh, y.h * y.sh)
        and fits(planner, site, body, (x.c, x.sw, x.sh, y.sw, y.sh))
    )
    box = replace(place, box=BOX)
    work = Product(
        site.result.type.batch, (x.h, x.w), y.c, x.c, 1, x.c * x.h * x.w, site.weights[0].type.size,
        planner.stored(site.operands[0]), maps(body), prod(taps), "lines" if boxed else "", kept=kept(planner, site),
        crowded=crowded(site),
    )  # fmt: skip
    constants = {
        "C": x.c, "H": x.h, "W": x.w, "XN": x.sn, "XC": x.sc, "XH": x.sh, "XW": x.sw,
        "OC": y.c, "OH": x.h, "OW": x.w, "YN": y.sn, "YC": y.sc, "YH": y.sh, "YW": y.sw, "Y0": 0,
        "KH": 1, "KW": 1, "SH": 1, "SW": 1, "PH": 0, "PW": 0, "DH": 1, "DW": 1, "WK": matrix_width(x.c),
        "GROUPS": prod(taps), "UH": taps[0], "UW": taps[1],
    }  # fmt: skip
    call = Call(
        "",
        times(x.h * x.w, site.result.type),
        work=work,
        form="spread",
        shape=planner.shape(f"upconv {taps[0]}x{taps[1]} {x.c}x{x.h}x{x.w} to {y.c}", constants, work),
        twin=twin(planner, site, "upconv_tma", stem, box, TAKEN, has_bias) if boxed else "",
        maps=maps(body),
    )
    spread = "{}.unsqueeze(2)" if len(op.kernel) == 1 else "{}"
    weight = Packed(site.weights[0], f"matrix({spread}.permute(2, 3, 1, 0).flatten(0, 2))")
    reads = (planner.read(site.operands[0]), weight, *bias, *map(planner.read, operands(body)))
    planner.launch(site, "conv_implicit_gemm", stem, spec, reads, call)


def _in_turn(planner: Planner, site: Site) -> None:
    """One ordinary convolution for each place that an output can have between the strides: each sees its own taps.

    Output i takes the tap k of input j where i + pad = s j + d k. For i = first + s q the taps are k = k0, k0 + t,
    k0 + 2 t, ... with t = s / gcd(s, d), and j = q + (first + pad - d k0) / s - (d t / s) m for the m-th of them.
    """
    op = site.op
    assert isinstance(op, UpConv)
    x, y = feature_map(site.operands[0].type), feature_map(site.result.type)
    top, left, _, _ = sides(op.padding)
    kernel, stride, dilation = two(op.kernel, 1), two(op.stride, 1), two(op.dilation, 1)
    extents, pad = (y.h, y.w), (top, left)
    for i in range(min(stride[0], y.h)):
        for j in range(min(stride[1], y.w)):
            taps = [
                _taps(first, k, s, d, p)
                for first, k, s, d, p in zip((i, j), kernel, stride, dilation, pad, strict=True)
            ]
            out = tuple(-(-(n - first) // s) for n, first, s in zip(extents, (i, j), stride, strict=True))
            windows = Windows(
                kernel=(taps[0].number, taps[1].number),
                stride=(1, 1),
                pad=(-taps[0].start, -taps[1].start),
                dilation=(taps[0].step, taps[1].step),
                out=(out[0], out[1]),
                steps=stride,
                first=(i, j),
            )
            cut = ", ".join(f"{tap.first}:{tap.first + tap.every * tap.number}:{tap.every}" for tap in taps)
            spread = "{}.unsqueeze(2)" if len(op.kernel) == 1 else "{}"
            form = f"{spread}[:, :, {cut}].unflatten(0, ({op.groups}, -1)).permute(0, 2, 3, 4, 1).flatten(0, 1)"
            weight = Packed(site.weights[0], f"matrix({form})", "" if stride == (1, 1) else f"{i}_{j}")
            implicit(planner, site, (weight,), x, y, windows, op.groups)


class _Taps(NamedTuple):
    """Taps `first`, `first + every`, ... of a kernel. They see input `start + q`, then `step` further each."""

    first: int
    every: int
    number: int
    start: int
    step: int


def _taps(first: int, kernel: int, stride: int, dilation: int, pad: int) -> _Taps:
    every = stride // gcd(stride, dilation)
    for k in range(min(every, kernel)):
        if (first + pad - dilation * k) % stride == 0:
            number = -(-(kernel - k) // every)
            return _Taps(k, every, number, (first + pad - dilation * k) // stride, -(dilation * every // stride))
    return _Taps(0, 1, 0, 0, 0)
