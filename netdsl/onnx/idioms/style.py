"""Modulated convolutions and fixed low-pass filters, which models write as ordinary convolutions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netdsl.ir.graph import Node, Value
from netdsl.onnx.idioms.sheet import Sheet
from netdsl.onnx.read.values import Array
from netdsl.ops.activation import Sqrt
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.elementwise import Div, Mul, Shift
from netdsl.ops.linear import Fc
from netdsl.ops.maps import Crop, Pad
from netdsl.ops.shape import Reshape
from netdsl.ops.style import Blur, ModConv

LARGEST_SUM = 256
"""Taps of a filter are whole numbers with a sum up to this."""


def demodulated(sheet: Sheet, node: Node) -> Node | None:
    """conv(s x) / sqrt(q s**2 + eps), where q sums the squares of each kernel: `modconv`."""
    layer = sheet.maker(node.inputs[0], Conv | UpConv)
    if layer is None or node.op != Div() or len(layer.inputs) != 2 or not sheet.alone(node.inputs[0]):
        return None
    op = layer.op
    styled, found = sheet.maker(layer.inputs[0], Mul), _divisor(sheet, node.inputs[1])
    weight = sheet.array(layer.inputs[1])
    if styled is None or found is None or weight is None or len(styled.inputs) != 2:
        return None
    style, sums, eps = found
    swapped = isinstance(op, UpConv)
    squares = np.square(weight.swapaxes(0, 1) if swapped else weight).sum(tuple(range(2, weight.ndim)))
    assert isinstance(op, Conv | UpConv)
    plain = op.groups == 1 and set(op.dilation) == {1} and not any(getattr(op, "outpad", ()))
    if not plain or squares.shape != sums.shape or not np.allclose(squares, sums, rtol=1e-4):
        return None
    for x, gate in (styled.inputs, styled.inputs[::-1]):
        along = (style.type.size,) + (1,) * (x.type.rank - 1)
        if gate.type.shape == along and sheet.behind(gate, Reshape) is style and x.type.shape[0] == style.type.size:
            modulated = ModConv(op.out, op.kernel, op.stride, op.padding, swapped, True, eps)
            return sheet.layer(node, modulated, (x, style), (weight.swapaxes(0, 1) if swapped else layer.inputs[1],))
    return None


def _divisor(sheet: Sheet, value: Value) -> tuple[Value, Array, float] | None:
    """Of sqrt(q s**2 + eps) for each channel: s, q and eps."""
    root = sheet.maker(sheet.behind(value, Reshape), Sqrt)
    raised = sheet.maker(root.inputs[0], Shift) if root else None
    energy = sheet.maker(raised.inputs[0], Fc) if raised else None
    powers = sheet.maker(energy.inputs[0], Mul) if energy else None
    if raised is None or energy is None or powers is None or len(energy.inputs) != 2:
        return None
    (style, *others), sums = powers.inputs, sheet.array(energy.inputs[1])
    channels = (energy.op.out,) + (1,) * (value.type.rank - 1)  # type: ignore[attr-defined]
    if others != [style] or style.type.rank != 1 or sums is None or value.type.shape != channels:
        return None
    assert isinstance(raised.op, Shift)
    return style, sums, raised.op.amount


def filtered(sheet: Sheet, node: Node) -> Node | None:
    """A depthwise convolution by the outer product of one line of taps, the same for every channel: `blur`."""
    op = node.op
    assert isinstance(op, Conv | UpConv)
    weight = sheet.array(node.inputs[1])
    channels = node.inputs[0].type.shape[0]
    if weight is None or len(node.inputs) != 2 or not op.groups == op.out == channels == weight.shape[0]:
        return None
    if len(set(op.kernel)) > 1 or len(set(op.stride)) > 1 or set(op.dilation) != {1} or op.kernel[0] == 1:
        return None
    grows = isinstance(op, UpConv)
    up, down = (op.stride[0], 1) if grows else (1, op.stride[0])
    taps = _taps(weight, up)
    if taps is None:
        return None
    if not isinstance(op, UpConv):
        return sheet.layer(node, Blur(1, down, op.padding, taps[::-1]), node.inputs[:1])
    rank, count = len(op.kernel), len(taps)
    before = [count - 1 - cut for cut in op.padding[:rank]]
    after = [count - up - cut + extra for cut, extra in zip(op.padding[rank:], op.outpad, strict=True)]
    if up == 1 or min(before + after) < 0:
        return None
    return sheet.layer(node, Blur(up, 1, (*before, *after), taps), node.inputs[:1])


def _taps(weight: Array, up: int) -> tuple[int, ...] | None:
    """Whole numbers in the ratios of a filter's coefficients, whose sum along an axis is `up`."""
    kernel = weight[0, 0]
    line = kernel.sum(tuple(range(1, kernel.ndim))) / up ** (kernel.ndim - 1)
    whole = line if kernel.ndim == 1 else np.outer(line, line)
    if not np.isclose(line.sum(), up, rtol=1e-5) or not np.allclose(weight, whole, rtol=1e-4, atol=1e-7):
        return None
    for total in range(1, LARGEST_SUM + 1):
        taps = line * total / up
        nearest = np.round(taps)
        if np.abs(taps - nearest).max() < 1e-6 * total:
            return tuple(int(tap) for tap in nearest)
    return None


def cut_or_padded(sheet: Sheet, node: Node) -> Node | None:
    """A filtered map, of which less is kept, or which zeros follow where nothing was left out: `blur` padded so."""
    before = sheet.maker(node.inputs[0], Blur)
    op = node.op
    if before is None or not sheet.alone(node.inputs[0]) or not isinstance(op, Crop | Pad):
        return None
    blur = before.op
    assert isinstance(blur, Blur)
    if blur.up == 1:
        return None
    half = len(op.padding) // 2
    whole = [len(blur.taps) - 1] * half + [len(blur.taps) - blur.up] * half
    if isinstance(op, Crop):
        padding = tuple(had - cut for had, cut in zip(blur.padding, op.padding, strict=True))
    elif (
        op.mode == "constant"
        and op.value == 0
        and all(had >= most or not more for had, most, more in zip(blur.padding, whole, op.padding, strict=True))
    ):
        padding = tuple(had + more for had, more in zip(blur.padding, op.padding, strict=True))
    else:
        return None
    return None if min(padding) < 0 else sheet.layer(node, replace(blur, padding=padding), before.inputs)
