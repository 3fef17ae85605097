"""Modulated convolution and FIR filters as ONNX: ordinary convolutions with products around them."""

from __future__ import annotations

import numpy as np

from netdsl.onnx.write.site import Site
from netdsl.ops.style import Blur, ModConv


def modconv(op: ModConv, at: Site, x: str, style: str, weight: str) -> str:
    """conv(s x) / sqrt(q s**2 + eps), where q sums the squares of each kernel."""
    rank = at.types[0].rank - 1
    styled = at("Mul", x, at.reshape(style, at.types[0].shape[0], *[1] * rank))
    kind, filters = "Conv", weight
    if op.transposed:
        kind, filters = "ConvTranspose", at("Transpose", weight, perm=(1, 0, *range(2, 2 + rank)))
    y = at(kind, styled, filters, kernel_shape=op.kernel, strides=op.stride, pads=op.padding)
    if not op.demodulate:
        return y
    kernels = at("ReduceSumSquare", weight, at.ints("axes", range(2, 2 + rank)), keepdims=0)
    powers = at("MatMul", at("Mul", style, style), at("Transpose", kernels, perm=(1, 0)))
    size = at("Sqrt", at("Add", powers, at.reals("eps", op.eps)))
    return at("Div", y, at.reshape(size, op.out, *[1] * rank))


def blur(op: Blur, at: Site, x: str) -> str:
    """A depthwise convolution with the outer product of the taps; upsampling, a transposed one, padded or cut."""
    channels, *spatial = at.types[0].shape
    rank, count = len(spatial), len(op.taps)
    line = np.array(op.coefficients)
    taps = line if rank == 1 else np.outer(line, line)
    settings = {"kernel_shape": taps.shape, "group": channels}
    if op.up == 1:
        kernel = at.reals("taps", np.tile(taps, (channels, 1, *[1] * rank)))
        return at("Conv", x, kernel, strides=[op.down] * rank, pads=op.padding, **settings)
    kernel = at.reals("taps", np.tile(np.flip(taps), (channels, 1, *[1] * rank)))
    y = at("ConvTranspose", x, kernel, strides=[op.up] * rank, **settings)
    starts = [before - count + 1 for before in op.padding[:rank]]
    ends = [after + op.up - count for after in op.padding[rank:]]
    return at("Pad", y, at.ints("pads", (0, 0, *starts, 0, 0, *ends)))
