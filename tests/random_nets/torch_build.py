"""A random net in PyTorch, from its own expansion: nothing of the elaborator, the shape rules or the IR takes part.

Attributes are taken as the text writes them, so that what they imply (`same`, `global`, negative axes, extents left
out) is PyTorch's or worked out here once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from expansion import Layer, Trace
from torch_oracles import ORACLES, torch_padding

from netdsl.ops import conv, maps, norm, pieces, pool, regions, shape, style
from netdsl.ops.base import Op

try:
    import torch
    from torch.nn import functional
except ImportError:  # the tests that compute with it are skipped then
    torch = functional = None

Tensor = Any
Change = Callable[[Tensor], Tensor]


def run(
    trace: Trace, inputs: Sequence[Tensor], weights: Sequence[Tensor], change: Change | None = None
) -> list[Tensor]:
    """All tensors of a net by number. A tensor that does not depend on the sample has a leading 1.

    `change` is applied to what each layer makes, to see how far a small error goes.
    """
    known: dict[int, Tensor] = dict(zip(trace.inputs, inputs, strict=True))
    known |= {value: weights[number][None] for value, number in trace.parameters.items()}
    for layer in trace.layers:
        results = apply(
            layer, [known[value] for value in layer.operands], [weights[number] for number in layer.weights]
        )
        if change is not None:
            results = [change(result) if result.is_floating_point() else result for result in results]
        known |= zip(layer.results, results, strict=True)
    return [known[value] for value in range(len(trace.types))]


def apply(layer: Layer, operands: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
    op = layer.op
    oracle = WRITTEN.get(type(op)) or ORACLES[type(op)]
    # PyTorch's LRN refuses some transposed tensors.
    result = oracle(op, *(operand.contiguous() for operand in operands), *weights)
    return result if isinstance(result, tuple) else (result,)


def spread(values: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return values * rank if len(values) == 1 else values


def starts_and_ends(padding: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return padding if len(padding) == 2 * rank else spread(padding, rank) * 2


def same(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """Total padding d (k - 1), the odd element at the end."""
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return (*(total // 2 for total in totals), *(total - total // 2 for total in totals))


def windowed(op: Any, x: Tensor) -> Any:
    """An operator with a window, its attributes one for each axis."""
    rank = x.ndim - 2
    fields = {
        name: spread(getattr(op, name), rank)
        for name in ("kernel", "stride", "dilation", "outpad")
        if hasattr(op, name)
    }
    fields["padding"] = starts_and_ends(op.padding, rank)
    return replace(op, **fields)


def conv_(op: conv.Conv, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    spelt = windowed(op, x)
    if not op.same:
        return ORACLES[conv.Conv](spelt, x, weight, bias)
    if set(spelt.stride) == {1} and all(k % 2 for k in spelt.kernel):  # PyTorch warns of even ones
        function = functional.conv1d if x.ndim == 3 else functional.conv2d
        return function(x, weight, bias, padding="same", dilation=spelt.dilation, groups=op.groups)
    return ORACLES[conv.Conv](replace(spelt, padding=same(spelt.kernel, spelt.dilation)), x, weight, bias)


def pool_(op: pool.Pool, x: Tensor) -> Any:
    rank = x.ndim - 2
    if op.whole or op.to:
        size = (1,) * rank if op.whole else spread(op.to, rank)
        return ORACLES[pool.AdaptivePool](pool.AdaptivePool(op.function, size), x)
    stride = op.stride or op.kernel
    spelt = windowed(replace(op, stride=stride), x)
    return ORACLES[pool.Pool](replace(spelt, padding=same(spelt.kernel, spelt.dilation)) if op.same else spelt, x)


def unpool_(op: pool.Unpool, x: Tensor, places: Tensor) -> Tensor:
    rank = x.ndim - 2
    function = functional.max_unpool1d if rank == 1 else functional.max_unpool2d
    kernel, stride, padding = (spread(values, rank) for values in (op.kernel, op.stride or op.kernel, op.padding))
    return function(x, places, kernel, stride, padding, spread(op.to, rank) if op.to else None)


def crop_(op: maps.Crop, x: Tensor, like: Tensor | None = None) -> Tensor:
    if op.padding:
        return functional.pad(x, [-side for side in torch_padding(starts_and_ends(op.padding, x.ndim - 2))])
    extents = like.shape[2:] if like is not None else spread(op.to, x.ndim - 2)
    for axis, extent in enumerate(extents, 2):
        x = x.narrow(axis, (x.shape[axis] - extent) // 2, extent)
    return x


def upsample_(op: maps.Upsample, x: Tensor) -> Tensor:
    mode = "nearest" if op.mode == "nearest" else "linear" if x.ndim == 3 else "bilinear"
    corners = None if mode == "nearest" else op.corners
    if op.to:
        return functional.interpolate(x, spread(op.to, x.ndim - 2), mode=mode, align_corners=corners)
    factors = tuple(float(s) for s in spread(op.stride, x.ndim - 2))
    return functional.interpolate(x, scale_factor=factors, mode=mode, align_corners=corners)


def transpose_(op: shape.Transpose, x: Tensor) -> Tensor:
    if not op.order:
        return x.transpose(-1, -2)
    return x.permute(0, *(axis if axis < 0 else axis + 1 for axis in op.order))


def slice_(op: pieces.Slice, x: Tensor) -> Tensor:
    index = [slice(None)] * x.ndim
    index[op.axis if op.axis < 0 else op.axis + 1] = slice(op.start, op.stop, op.step)
    return x[tuple(index)]


def pad_(op: maps.Pad, x: Tensor) -> Tensor:
    return ORACLES[maps.Pad](replace(op, padding=starts_and_ends(op.padding, x.ndim - 2)), x)


def group_norm_(op: norm.GroupNorm, x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Not `functional.group_norm`, which refuses groups of one element."""
    return torch.group_norm(x, op.groups, weight, bias, op.eps)


def modconv_(op: style.ModConv, x: Tensor, s: Tensor, weight: Tensor) -> Tensor:
    rows = max(len(x), len(s))
    return ORACLES[style.ModConv](windowed(op, x), x.expand(rows, *x.shape[1:]), s.expand(rows, -1), weight)


def blur_(op: style.Blur, x: Tensor) -> Tensor:
    """Without padding, extents become `up / s` of what they were."""
    rank, total = x.ndim - 2, len(op.taps) - max(op.up, op.down)
    implied = ((total + 1) // 2 + op.up - 1,) * rank + (total // 2,) * rank
    return ORACLES[style.Blur](replace(op, padding=starts_and_ends(op.padding, rank) if op.padding else implied), x)


WRITTEN: dict[type[Op], Callable[..., Any]] = {
    conv.Conv: conv_,
    conv.UpConv: lambda op, x, *weights: ORACLES[conv.UpConv](windowed(op, x), x, *weights),
    pool.Pool: pool_,
    pool.Unpool: unpool_,
    maps.Crop: crop_,
    maps.Upsample: upsample_,
    shape.Transpose: transpose_,
    pieces.Slice: slice_,
    maps.Pad: pad_,
    norm.GroupNorm: group_norm_,
    style.ModConv: modconv_,
    style.Blur: blur_,
    regions.RoiPool: lambda op, *operands: ORACLES[type(op)](replace(op, kernel=spread(op.kernel, 2)), *operands),
    regions.RoiAlign: lambda op, *operands: ORACLES[type(op)](replace(op, kernel=spread(op.kernel, 2)), *operands),
    shape.Reshape: lambda op, x: x.reshape(len(x), *op.to),
    shape.Flatten: lambda op, x: x.reshape(len(x), -1),  # `torch.flatten` wants an axis besides N
}
"""Operators whose attributes imply others; the rest are PyTorch's as they are."""
