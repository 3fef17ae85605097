"""What PyTorch computes for each operator, written by hand: an oracle that shares no line with the reference.

An oracle takes the resolved operator, its operands `N x ...` and its weights, all as tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from netdsl.ops import (
    activation,
    attention,
    choice,
    conv,
    each,
    elementwise,
    function,
    linear,
    maps,
    noise,
    norm,
    pieces,
    pool,
    recurrent,
    reduce,
    regions,
    sequence,
    shape,
    style,
)
from netdsl.ops.base import Op

try:
    import torch
    from torch.nn import functional
except ImportError:  # the tests that call an oracle skip then; that there is one is tested everywhere
    torch = functional = None

Tensor = Any


def torch_padding(padding: tuple[int, ...]) -> list[int]:
    """Starts then ends, as `F.pad` wants it: pairs, the last axis first."""
    rank = len(padding) // 2
    return [side for axis in reversed(range(rank)) for side in (padding[axis], padding[rank + axis])]


def symmetric(padding: tuple[int, ...]) -> tuple[int, ...] | None:
    rank = len(padding) // 2
    return padding[:rank] if padding[:rank] == padding[rank:] else None


def conv_(op: conv.Conv, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    function = functional.conv1d if x.ndim == 3 else functional.conv2d
    padding = symmetric(op.padding)
    if padding is None:
        x, padding = functional.pad(x, torch_padding(op.padding)), 0
    return function(x, weight, bias, op.stride, padding, op.dilation, op.groups)


def upconv_(op: conv.UpConv, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    function = functional.conv_transpose1d if x.ndim == 3 else functional.conv_transpose2d
    padding = symmetric(op.padding)
    if padding is not None:
        return function(x, weight, bias, op.stride, padding, op.outpad, op.groups, op.dilation)
    y = function(x, weight, bias, op.stride, 0, op.outpad, op.groups, op.dilation)
    return functional.pad(y, [-side for side in torch_padding(op.padding)])


def pool_(op: pool.Pool, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    sign = -1 if op.function == "min" else 1
    line = x.ndim == 3
    padding = symmetric(op.padding)
    # PyTorch allows less: padding of half the kernel at most and equal on both sides, no dilation of averages.
    usual = padding is not None and all(2 * p <= k for p, k in zip(padding, op.kernel, strict=True))
    if op.function == "avg":
        if usual and set(op.dilation) == {1}:
            function = functional.avg_pool1d if line else functional.avg_pool2d
            return function(x, op.kernel, op.stride, padding, op.ceil, op.count_pad)
        assert not op.ceil
        windows = unfolded(functional.pad(x, torch_padding(op.padding)), op)
        count = unfolded(functional.pad(torch.ones_like(x), torch_padding(op.padding), value=float(op.count_pad)), op)
        return windows.sum(-1) / count.sum(-1)
    function = functional.max_pool1d if line else functional.max_pool2d
    if usual:
        result = function(sign * x, op.kernel, op.stride, padding, op.dilation, op.ceil, op.indices)
        return (sign * result[0], result[1]) if op.indices else sign * result
    assert not op.indices
    padded = functional.pad(sign * x, torch_padding(op.padding), value=-torch.inf)
    return sign * function(padded, op.kernel, op.stride, 0, op.dilation, op.ceil)


def unfolded(x: Tensor, op: pool.Pool) -> Tensor:
    """`N x C x H' x W' x K` by `Tensor.unfold`, one axis after the other."""
    for axis, (k, s, d) in enumerate(zip(op.kernel, op.stride, op.dilation, strict=True), 2):
        x = x.unfold(axis, d * (k - 1) + 1, s)[..., ::d]
    return x.flatten(2 + len(op.kernel))


def adaptive_pool_(op: pool.AdaptivePool, x: Tensor) -> Tensor:
    line = x.ndim == 3
    if op.function == "avg":
        return (functional.adaptive_avg_pool1d if line else functional.adaptive_avg_pool2d)(x, op.size)
    sign = -1 if op.function == "min" else 1
    return sign * (functional.adaptive_max_pool1d if line else functional.adaptive_max_pool2d)(sign * x, op.size)


def unpool_(op: pool.Unpool, x: Tensor, indices: Tensor) -> Tensor:
    function = functional.max_unpool1d if x.ndim == 3 else functional.max_unpool2d
    return function(x, indices, op.kernel, op.stride, symmetric(op.padding), op.to)


def batch_norm_(op: norm.BatchNorm, x: Tensor, *weights: Tensor) -> Tensor:
    *affine, mean, variance = weights
    return functional.batch_norm(x, mean, variance, *affine, eps=op.eps)


def layer_norm_(op: norm.LayerNorm, x: Tensor, *weights: Tensor) -> Tensor:
    axis = op.axis % (x.ndim - 1) + 1
    moved = x.movedim(axis, -1)
    return functional.layer_norm(moved, moved.shape[-1:], *weights, eps=op.eps).movedim(-1, axis)


def attention_(op: attention.Attention, x: Tensor, *rest: Tensor) -> Tensor:
    """`torch.nn.MultiheadAttention`, on maps as diffusion models call it."""
    operands = [tensor for tensor in rest if tensor.dtype == torch.bool or tensor.ndim > 2]
    weights = list(rest[len(operands) :])
    mask = operands.pop() if operands and operands[-1].dtype == torch.bool else None
    extents = x.shape[2:]
    x, memory = (t.flatten(2).mT if t.ndim == 4 else t for t in (x, operands[0] if operands else x))
    rows = max(len(x), len(memory))
    x, memory = x.expand(rows, -1, -1), memory.expand(rows, -1, -1)
    width = x.shape[-1]
    layer = torch.nn.MultiheadAttention(
        width, op.heads, bias=op.bias, kdim=memory.shape[-1], vdim=memory.shape[-1], batch_first=True, dtype=x.dtype
    )
    layer.load_state_dict(dict(zip(layer.state_dict(), weights, strict=True)))
    if not op.scaled:
        into = layer.in_proj_weight if layer._qkv_same_embed_dim else layer.q_proj_weight
        with torch.no_grad():  # q times the root, against the quotient inside
            into[:width] *= (width // op.heads) ** 0.5
            if op.bias:
                layer.in_proj_bias[:width] *= (width // op.heads) ** 0.5
    hidden = {}
    if mask is not None and mask.ndim == 2:
        hidden["key_padding_mask"] = mask
    pairs = torch.zeros(rows, x.shape[1], memory.shape[1], dtype=torch.bool)
    if op.causal:
        pairs |= torch.ones(pairs.shape, dtype=torch.bool).triu(1)
    if mask is not None and mask.ndim == 3:
        pairs |= mask
    hidden["attn_mask"] = pairs.repeat_interleave(op.heads, 0)
    # Written out in matrix products, which PyTorch's counter of operations sees.
    with torch.no_grad(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        y = layer.eval()(x, memory, memory, need_weights=False, **hidden)[0]
    return y.mT.unflatten(2, extents) if len(extents) == 2 else y


def attend_(op: attention.Attend, x: Tensor, *rest: Tensor) -> Tensor:
    mask = rest[-1] if rest and rest[-1].dtype == torch.bool else None
    q, k, v = (x, *rest[0].chunk(2, -1)) if rest and rest[0].dtype != torch.bool else x.chunk(3, -1)
    rows = max(len(q), len(k))
    q, k, v = (t.expand(rows, -1, -1).unflatten(-1, (op.heads, -1)).transpose(1, 2) for t in (q, k, v))
    seen = torch.ones(rows, 1, q.shape[2], k.shape[2], dtype=torch.bool)
    seen = seen.tril() if op.causal else seen
    if mask is not None:
        seen = seen & ~(mask[:, None, None] if mask.ndim == 2 else mask[:, None])
    scale = None if op.scaled else 1.0
    return functional.scaled_dot_product_attention(q, k, v, seen, scale=scale).transpose(1, 2).flatten(2)


def run_cell(cell: str, reverse: bool, x: Tensor, before: list[Tensor], weights: list[Tensor]) -> tuple[Tensor, ...]:
    """y, h and c: what `torch.nn.LSTM` and `GRU` call; a sequence is turned around where it is read backwards."""
    rows = max(len(t) for t in (x, *before))
    x = x.flip(1).expand(rows, -1, -1) if reverse else x.expand(rows, -1, -1)
    out = weights[1].shape[1]
    states = [t.expand(rows, -1) for t in before] or [x.new_zeros(rows, out)] * (2 if cell == "lstm" else 1)
    first = tuple(t[None].contiguous() for t in states)
    y, *after = getattr(torch, cell)(
        x, first if cell == "lstm" else first[0], weights, True, 1, 0.0, False, False, True
    )
    return (y.flip(1) if reverse else y, *(t[0] for t in after))


def recurrent_(op: recurrent.Recurrent, x: Tensor, *rest: Tensor) -> Tensor | tuple[Tensor, ...]:
    *before, w_ih, w_hh, b_ih, b_hh = rest
    results = run_cell(op.word, op.reverse, x, before, [w_ih, w_hh, b_ih, b_hh])
    return results if op.state else results[0]


def recurrence_(op: recurrent.Recurrence, x: Tensor, weight: Tensor, bias: Tensor, *before: Tensor) -> Any:
    """The input's products are given, so that its weights are the identity."""
    same = torch.eye(x.shape[2], dtype=x.dtype)
    weights = [same, weight[0], torch.zeros_like(bias[0]), bias[0]]
    y, *_, last = run_cell(op.cell, op.reverse, x, list(before), weights)
    return (y, last) if op.cell == "lstm" else y


def modconv_(op: style.ModConv, x: Tensor, s: Tensor, weight: Tensor) -> Tensor:
    """All samples at once, as groups of channels with weights of their own."""
    rows, channels = x.shape[:2]
    kernel = [1] * len(op.kernel)
    w = weight[None] * s.reshape(rows, 1, channels, *kernel)
    if op.demodulate:
        w = w * torch.rsqrt(w.square().flatten(2).sum(2) + op.eps).reshape(rows, op.out, 1, *kernel)
    if op.transposed:
        plain = conv.UpConv(rows * op.out, op.kernel, op.stride, op.padding, (1,), (0,) * len(kernel), rows)
        y = upconv_(replace(plain, dilation=(1,) * len(kernel)), x.flatten(0, 1)[None], w.transpose(1, 2).flatten(0, 1))
    else:
        plain = conv.Conv(rows * op.out, op.kernel, op.stride, op.padding, (1,) * len(kernel), rows)
        y = conv_(plain, x.flatten(0, 1)[None], w.flatten(0, 1))
    return y.reshape(rows, op.out, *y.shape[2:])


def blur_(op: style.Blur, x: Tensor) -> Tensor:
    """All axes at once: a convolution with the outer product of the taps; upsampling, a transposed one."""
    channels, rank, count = x.shape[1], x.ndim - 2, len(op.taps)
    taps = torch.tensor(op.taps, dtype=x.dtype) * op.up / sum(op.taps)
    kernel = taps if rank == 1 else torch.outer(taps, taps)
    weight = kernel.expand(channels, 1, *kernel.shape)
    if op.up > 1:
        starts, ends = op.padding[:rank], op.padding[rank:]
        cut = (*(before - count + 1 for before in starts), *(after + op.up - count for after in ends))
        function = functional.conv_transpose1d if rank == 1 else functional.conv_transpose2d
        return functional.pad(function(x, weight, stride=op.up, groups=channels), torch_padding(cut))
    function = functional.conv1d if rank == 1 else functional.conv2d
    turned = weight.flip(tuple(range(2, 2 + rank)))
    return function(functional.pad(x, torch_padding(op.padding)), turned, stride=op.down, groups=channels)


def encodings(places: Tensor, features: int, halves: bool) -> Tensor:
    """By the formula of the paper, and that of diffusion models' code."""
    half = features // 2
    if halves:
        frequencies = torch.exp(torch.arange(half, dtype=torch.float64) * -(math.log(10000) / (half - 1)))
        angles = places * frequencies.to(places.dtype if places.is_floating_point() else torch.float64)
        return torch.cat([angles.sin(), angles.cos()], -1)
    divisors = torch.tensor([10000 ** (2 * i / features) for i in range(half)], dtype=torch.float64)
    angles = places * (1 / divisors).to(places.dtype if places.is_floating_point() else torch.float64)
    result = torch.empty(*places.shape[:-1], features, dtype=angles.dtype)
    result[..., 0::2], result[..., 1::2] = angles.sin(), angles.cos()
    return result


def position_(op: sequence.Position, x: Tensor) -> Tensor:
    if op.features:
        return encodings(x, op.features, op.halves)
    return x + encodings(torch.arange(x.shape[1])[:, None], x.shape[2], op.halves).to(x.dtype)


def upsample_(op: maps.Upsample, x: Tensor) -> Tensor:
    if op.mode == "nearest":
        return functional.interpolate(x, op.to, mode="nearest")
    return functional.interpolate(x, op.to, mode="linear" if x.ndim == 3 else "bilinear", align_corners=op.corners)


def pad_(op: maps.Pad, x: Tensor) -> Tensor:
    if op.mode == "constant":
        return functional.pad(x, torch_padding(op.padding), value=op.value)
    return functional.pad(x, torch_padding(op.padding), mode=op.mode)


def crop_(op: maps.Crop, x: Tensor, like: Tensor | None = None) -> Tensor:
    if like is not None:
        for axis in range(2, x.ndim):
            spare = x.shape[axis] - like.shape[axis]
            x = x.narrow(axis, spare // 2, like.shape[axis])
        return x
    return functional.pad(x, [-side for side in torch_padding(op.padding)])


def joined(function: str) -> Callable[..., Tensor]:
    def join(op: Op, first: Tensor, *rest: Tensor) -> Tensor:
        for other in rest:
            rank = max(first.ndim, other.ndim)
            first, other = (t.reshape(len(t), *[1] * (rank - 1)) if t.ndim < rank else t for t in (first, other))
            first = getattr(torch, function)(first, other)
        return first

    return join


def reduced(function: str) -> Callable[..., Tensor]:
    def reduce_(op: Any, x: Tensor) -> Tensor:
        axes = tuple(axis % (x.ndim - 1) + 1 for axis in op.axis) or tuple(range(1, x.ndim))
        return getattr(torch, function)(x, dim=axes, keepdim=op.keep)

    return reduce_


RELATIONS = {"equal": "eq", "unequal": "ne", "less": "lt", "atmost": "le", "greater": "gt", "atleast": "ge"}


def product_(op: reduce.Product, x: Tensor) -> Tensor:
    axes = sorted({axis % (x.ndim - 1) + 1 for axis in op.axis} or range(1, x.ndim), reverse=True)
    for axis in axes:
        x = torch.prod(x, axis, keepdim=op.keep)
    return x


def select_(op: function.Select, *operands: Tensor) -> Tensor:
    rank = max(t.ndim for t in operands)
    mask, a, b = (t.reshape(len(t), *[1] * (rank - 1)) if t.ndim < rank else t for t in operands)
    return torch.where(mask != 0, a, b)


def axis_of(axis: int, x: Tensor) -> int:
    return axis if axis < 0 else axis + 1


def roi_pool_(op: regions.RoiPool, x: Tensor, boxes: Tensor) -> Tensor:
    """A region of whole elements is pooled like any map; around the map is what never wins."""
    corners = boxes * op.scale
    corners = (corners.abs() + 0.5).floor().copysign(corners).long().expand(len(x), *boxes.shape[1:])
    margin = int(corners.abs().max()) + 1
    padded = functional.pad(x, [margin] * 4, value=-torch.inf)
    results = []
    for image, regions_ in zip(padded, corners + margin, strict=True):
        cut = [image[:, t : max(b, t) + 1, a : max(c, a) + 1] for a, t, c, b in regions_.tolist()]
        results.append(torch.stack([functional.adaptive_max_pool2d(region, op.kernel) for region in cut]))
    found = torch.stack(results)
    return found.masked_fill(found == -torch.inf, 0)


def roi_align_(op: regions.RoiAlign, x: Tensor, boxes: Tensor) -> Tensor:
    """PyTorch's sampling of a map with its border repeated, of points that are at most 1 outside."""
    x, boxes, dtype = x.double(), boxes.double().expand(len(x), *boxes.shape[1:]), x.dtype
    start, end = (boxes * op.scale - 0.5 * op.aligned).split(2, -1)
    extent = end - start if op.aligned else (end - start).clamp(min=1)
    grids, seen = [], []
    for axis, (count, length) in enumerate(zip(op.kernel[::-1], (x.shape[3], x.shape[2]), strict=True)):
        steps = (torch.arange(count * op.points, dtype=x.dtype) + 0.5) / (count * op.points)
        places = start[..., axis, None] + extent[..., axis, None] * steps
        seen.append((places >= -1) & (places <= length))
        grids.append(2 * places / (length - 1) - 1)
    columns, rows = torch.broadcast_tensors(grids[0][:, :, None], grids[1][..., None])
    grid = torch.stack([columns, rows], -1).flatten(1, 2)
    found = functional.grid_sample(x, grid, padding_mode="border", align_corners=True)
    found = found.unflatten(2, columns.shape[1:3]).transpose(1, 2)
    found = found * (seen[1][..., None] & seen[0][:, :, None])[:, :, None]
    return functional.avg_pool2d(found.flatten(0, 1), op.points).unflatten(0, boxes.shape[:2]).to(dtype)


def gather_(op: choice.Gather, x: Tensor, at: Tensor) -> Tensor:
    """With a row of zeros after the last."""
    count = max(len(x), len(at))
    x = torch.cat([x, torch.zeros_like(x[:, :1])], 1).expand(count, -1, *x.shape[2:])
    at = torch.where(at < 0, x.shape[1] - 1, at).expand(count, -1)
    return torch.stack([torch.index_select(table, 0, places) for table, places in zip(x, at, strict=True)])


def nms_(op: choice.Nms, boxes: Tensor, scores: Tensor) -> Tensor:
    """All overlaps at once: a box stays if no better one that stays overlaps it."""
    kept = torch.full((len(scores), op.count), -1)
    for row, mine, score in zip(kept, boxes.expand(len(scores), -1, -1), scores, strict=True):
        order = [i for i in torch.argsort(score, descending=True, stable=True).tolist() if score[i] > op.least]
        low = torch.maximum(mine[:, None, :2], mine[:, :2])
        high = torch.minimum(mine[:, None, 2:], mine[:, 2:])
        shared = (high - low).clamp(min=0).prod(-1)
        area = (mine[:, 2:] - mine[:, :2]).prod(-1)
        overlaps = shared > op.iou * (area[:, None] + area - shared)
        stay: list[int] = []
        for i in order:
            if not any(overlaps[i, j] for j in stay):
                stay.append(i)
        stay = stay[: op.count]
        row[: len(stay)] = torch.tensor(stay, dtype=torch.long)
    return kept


ORACLES: dict[type[Op], Callable[..., Any]] = {
    conv.Conv: conv_,
    conv.UpConv: upconv_,
    pool.Pool: pool_,
    pool.AdaptivePool: adaptive_pool_,
    pool.Unpool: unpool_,
    linear.Fc: lambda op, x, weight, bias=None: functional.linear(x, weight, bias),
    linear.MatMul: lambda op, a, b: torch.matmul(
        a.transpose(-1, -2) if op.transpose_a else a, b.transpose(-1, -2) if op.transpose_b else b
    ),
    attention.Attention: attention_,
    attention.Attend: attend_,
    sequence.Position: position_,
    sequence.SineTable: lambda op: encodings(torch.arange(op.length)[:, None], op.features, op.halves)[None],
    sequence.Embed: lambda op, x, weight: functional.embedding(x, weight),
    recurrent.Lstm: recurrent_,
    recurrent.Gru: recurrent_,
    recurrent.Recurrence: recurrence_,
    style.ModConv: modconv_,
    style.Blur: blur_,
    norm.BatchNorm: batch_norm_,
    norm.BatchNormScale: lambda op, gamma, variance: gamma * torch.rsqrt(variance + op.eps),
    norm.LRN: lambda op, x: functional.local_response_norm(x, op.size, op.alpha, op.beta, op.offset),
    norm.LayerNorm: layer_norm_,
    norm.GroupNorm: lambda op, x, *weights: functional.group_norm(x, op.groups, *weights, eps=op.eps),
    activation.Relu: lambda op, x: functional.relu(x),
    activation.Relu6: lambda op, x: functional.relu6(x),
    activation.LeakyRelu: lambda op, x: functional.leaky_relu(x, op.slope),
    activation.PRelu: lambda op, x, weight: functional.prelu(x, weight),
    activation.Elu: lambda op, x: functional.elu(x, op.alpha),
    activation.Selu: lambda op, x: functional.selu(x),
    activation.Gelu: lambda op, x: functional.gelu(x, approximate="tanh" if op.tanh else "none"),
    activation.Silu: lambda op, x: functional.silu(x),
    activation.HardSwish: lambda op, x: functional.hardswish(x),
    activation.HardSigmoid: lambda op, x: functional.hardsigmoid(x),
    activation.Sigmoid: lambda op, x: torch.sigmoid(x),
    activation.Tanh: lambda op, x: torch.tanh(x),
    activation.Softplus: lambda op, x: functional.softplus(x),
    activation.Abs: lambda op, x: torch.abs(x),
    activation.Exp: lambda op, x: torch.exp(x),
    activation.Log: lambda op, x: torch.log(x),
    activation.Sqrt: lambda op, x: torch.sqrt(x),
    activation.Clamp: lambda op, x: torch.clamp(x, op.low, op.high),
    activation.Softmax: lambda op, x: functional.softmax(x, axis_of(op.axis, x)),
    activation.LogSoftmax: lambda op, x: functional.log_softmax(x, axis_of(op.axis, x)),
    noise.Dropout: lambda op, x: functional.dropout(x, op.p, training=False),
    noise.DropPath: lambda op, x: functional.dropout(x, op.p, training=False),
    elementwise.Add: joined("add"),
    elementwise.Mul: joined("mul"),
    elementwise.Sub: joined("sub"),
    elementwise.Div: lambda op, a, b: joined("div")(op, a, b + op.eps),
    elementwise.Maximum: joined("maximum"),
    elementwise.Minimum: joined("minimum"),
    elementwise.Scale: lambda op, x: torch.mul(x, op.factor),
    elementwise.Shift: lambda op, x: torch.add(x, op.amount),
    function.Apply: lambda op, x: getattr(torch, op.function)(x),
    function.Power: joined("pow"),
    function.Compare: lambda op, *x: joined(RELATIONS[op.relation])(op, *x).to(x[0].dtype),
    function.Select: select_,
    shape.Flatten: lambda op, x: torch.flatten(x, 1),
    shape.Reshape: lambda op, x: torch.reshape(x, (-1, *op.to)),
    shape.Transpose: lambda op, x: torch.permute(x, (0, *(axis + 1 for axis in op.order))),
    shape.Tokens: lambda op, x: torch.flatten(x, 2).mT,
    maps.Pad: pad_,
    maps.Crop: crop_,
    pieces.Concat: lambda op, *operands: torch.cat(
        [t.expand(max(map(len, operands)), *t.shape[1:]) for t in operands], axis_of(op.axis, operands[0])
    ),
    pieces.Split: lambda op, x: torch.split(x, op.size, axis_of(op.axis, x)),
    pieces.Slice: lambda op, x: torch.index_select(
        x, axis_of(op.axis, x), torch.arange(x.shape[axis_of(op.axis, x)])[op.start : op.stop : op.step]
    ),
    pieces.Take: lambda op, x: torch.select(x, axis_of(op.axis, x), op.index),
    maps.Upsample: upsample_,
    maps.Shuffle: lambda op, x: functional.channel_shuffle(x, op.groups),
    maps.PixelShuffle: lambda op, x: functional.pixel_shuffle(x, op.factor),
    shape.Relayout: lambda op, x: x,
    choice.TopK: lambda op, x: tuple(torch.topk(x, op.count, axis_of(op.axis, x))),
    choice.Gather: gather_,
    choice.Nms: nms_,
    regions.RoiPool: roi_pool_,
    regions.RoiAlign: roi_align_,
    each.Each: lambda op, x: torch.flatten(x, 0, 1),
    each.Regroup: lambda op, x: torch.unflatten(x, 0, (-1, op.count)),
    reduce.Mean: reduced("mean"),
    reduce.Sum: reduced("sum"),
    reduce.Product: product_,
    reduce.Largest: reduced("amax"),
    reduce.Smallest: reduced("amin"),
}
