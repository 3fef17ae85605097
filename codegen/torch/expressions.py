"""Operators without weights: an expression of PyTorch each."""

from __future__ import annotations

import struct
from collections.abc import Callable

from netdsl.codegen.render import literal
from netdsl.codegen.torch import layers
from netdsl.codegen.torch.site import Site, options, pairs, short
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
from netdsl.ops.window import extent

RELATIONS = {"equal": "==", "unequal": "!=", "less": "<", "atmost": "<=", "greater": ">", "atleast": ">="}

Lowering = Callable[..., str]
"""Takes the resolved operator, its site and the texts of its operands; returns an expression."""


def matmul(op: linear.MatMul, at: Site, a: str, b: str) -> str:
    """torch.matmul, written as it is in Python."""
    return f"{a}{'.mT' if op.transpose_a else ''} @ {b}{'.mT' if op.transpose_b else ''}"


def pool_(op: pool.Pool, at: Site, x: str) -> str:
    """Pooling of `nn.functional`, or what it lacks: uneven padding, dilated averages."""
    rank = len(op.kernel)
    even = op.padding[:rank] == op.padding[rank:] and all(
        2 * p <= k for p, k in zip(op.padding, (*op.kernel, *op.kernel), strict=True)
    )
    if op.function == "avg":
        return _average(op, at, x, even)
    kernel = options(
        stride=None if op.stride == op.kernel else short(op.stride),
        padding=short(op.padding[:rank]) if even and any(op.padding) else None,
        dilation=short(op.dilation) if any(d > 1 for d in op.dilation) else None,
        ceil_mode=True if op.ceil and even else None,
        return_indices=True if op.indices else None,
    )
    x = f"-{x}" if op.function == "min" else x
    if even:
        y = f"F.max_pool{rank}d({x}, {short(op.kernel)}{kernel})"
    elif op.indices:
        width = at.types[0].shape[-1]
        settings = (op.kernel, op.stride, _border(op, at), op.dilation, width)
        return f"{at.helper('max_pool_indices')}({x}, {', '.join(map(str, settings))})"
    else:
        y = f'F.max_pool{rank}d(F.pad({x}, {pairs(_border(op, at))}, value=float("-inf")), {short(op.kernel)}{kernel})'
    return f"-{y}" if op.function == "min" else y


def _average(op: pool.Pool, at: Site, x: str, even: bool) -> str:
    rank = len(op.kernel)
    if op.kernel == at.types[0].shape[1:] and not any(op.padding) and set(op.dilation) == {1}:
        return f"{x}.mean({tuple(range(2, 2 + rank)) if rank > 1 else 2}, keepdim=True)"
    if even and set(op.dilation) == {1}:
        settings = options(
            stride=None if op.stride == op.kernel else short(op.stride),
            padding=short(op.padding[:rank]) if any(op.padding) else None,
            ceil_mode=True if op.ceil else None,
            count_include_pad=None if op.count_pad or not any(op.padding) else False,
        )
        return f"F.avg_pool{rank}d({x}, {short(op.kernel)}{settings})"
    margin = tuple(end - p for end, p in zip(_border(op, at)[rank:], op.padding[rank:], strict=True))
    border = (pairs(op.padding), pairs((*[0] * rank, *margin)))
    given = ", ".join(map(literal, (op.kernel, op.stride, *border, op.dilation, op.count_pad)))
    return f"{at.helper('average')}({x}, {given})"


def _border(op: pool.Pool, at: Site) -> tuple[int, ...]:
    """Padding with which the windows fit exactly; negative where the last elements are never read."""
    rank = len(op.kernel)
    spatial, out = at.types[0].shape[1:], at.results[0].shape[1:]
    ends = (
        (out[i] - 1) * op.stride[i] + extent(op.kernel[i], op.dilation[i]) - length - op.padding[i]
        for i, length in enumerate(spatial)
    )
    return (*op.padding[:rank], *ends)


def adaptive_pool(op: pool.AdaptivePool, at: Site, x: str) -> str:
    """F.adaptive_avg_pool2d and its kin."""
    function = f"F.adaptive_{'avg' if op.function == 'avg' else 'max'}_pool{len(op.size)}d"
    return f"-{function}(-{x}, {short(op.size)})" if op.function == "min" else f"{function}({x}, {short(op.size)})"


def unpool(op: pool.Unpool, at: Site, x: str, places: str) -> str:
    """Elements scattered into planes of zeros."""
    return f"{at.helper('unpool')}({x}, {places}, {op.to})"


def lrn(op: norm.LRN, at: Site, x: str) -> str:
    """F.local_response_norm."""
    return f"F.local_response_norm({x}, {op.size}, alpha={op.alpha}, beta={op.beta}, k={op.offset})"


def joined(symbol: str, function: str = "") -> Lowering:
    """Arithmetic between tensors; one of fewer axes has a single element for each sample."""

    def write(op: Op, at: Site, *operands: str) -> str:
        spread = _spread(at, *operands)
        if not function:
            return f" {symbol} ".join(spread)
        first, *rest = spread
        for other in rest:
            first = f"{function}({first}, {other})"
        return first

    return write


def _spread(at: Site, *operands: str) -> list[str]:
    rank = at.results[0].rank
    return [
        f"{x}.reshape(-1{', 1' * rank})" if type.batch and type.rank < rank else x
        for x, type in zip(operands, at.types, strict=True)
    ]


def div(op: elementwise.Div, at: Site, a: str, b: str) -> str:
    """A quotient, kept from division by zero where an eps is given."""
    return joined("/")(op, at, a, f"({b} + {op.eps})" if op.eps else b)


def reduced(function: str) -> Lowering:
    """A reduction over axes."""

    def write(op: reduce.Reduce, at: Site, x: str) -> str:
        axes = tuple(1 + axis for axis in op.axis)
        return f"{x}.{function}({axes[0] if len(axes) == 1 else axes}{options(keepdim=op.keep or None)})"

    return write


def product(op: reduce.Product, at: Site, x: str) -> str:
    """torch.prod, one axis after the other."""
    keep = options(keepdim=op.keep or None)
    return x + "".join(f".prod({1 + axis}{keep})" for axis in reversed(op.axis))


def compare(op: function.Compare, at: Site, a: str, b: str) -> str:
    """A relation, as a number."""
    relation = joined(RELATIONS[op.relation])(op, at, a, b)
    return f"({relation}).to({a}.dtype)"


def select(op: function.Select, at: Site, mask: str, a: str, b: str) -> str:
    """torch.where."""
    mask, a, b = _spread(at, mask, a, b)
    return f"torch.where({mask} != 0, {a}, {b})"


def blur(op: style.Blur, at: Site, x: str) -> str:
    """Sums over windows."""
    return f"{at.helper('blur')}({x}, {op.coefficients}, {op.up}, {op.down}, {pairs(op.padding)})"


def tokens(op: shape.Tokens, at: Site, x: str) -> str:
    """Positions before channels."""
    return f"{x}.flatten(2).mT"


def pad(op: maps.Pad, at: Site, x: str) -> str:
    """F.pad."""
    if op.mode == "constant":
        return f"F.pad({x}, {pairs(op.padding)}{options(value=op.value or None)})"
    return f'F.pad({x}, {pairs(op.padding)}, mode="{op.mode}")'


def crop(op: maps.Crop, at: Site, x: str, *like: str) -> str:
    """Slices of the spatial axes."""
    rank = len(op.padding) // 2
    sides = zip(at.types[0].shape[1:], op.padding[:rank], op.padding[rank:], strict=True)
    return f"{x}[:, :, {', '.join(f'{start}:{length - end}' for length, start, end in sides)}]"


def concat(op: pieces.Concat, at: Site, *operands: str) -> str:
    """torch.cat; what is the same for every sample is first spread over all."""
    sampled = [x for x, type in zip(operands, at.types, strict=True) if type.batch]
    whole = [
        x if type.batch or not sampled else f"{x}.expand(len({sampled[0]}){', -1' * type.rank})"
        for x, type in zip(operands, at.types, strict=True)
    ]
    return f"torch.cat(({', '.join(whole)}), {op.axis + 1})"


def slice_axis(op: pieces.Slice, at: Site, x: str) -> str:
    """A slice of one axis."""
    step = f":{op.step}" if op.step > 1 else ""
    return f"{x}[{':, ' * (op.axis + 1)}{op.start}:{op.stop}{step}]"


def upsample(op: maps.Upsample, at: Site, x: str) -> str:
    """F.interpolate; places, where it would round some of them wrong."""
    if op.mode == "nearest" and not all(map(_rounds_right, at.types[0].shape[1:], op.to)):
        for axis, (length, n) in enumerate(zip(at.types[0].shape[1:], op.to, strict=True), 2):
            x = f"{x}.index_select({axis}, torch.arange({n}, device={x.split('.index')[0]}.device) * {length} // {n})"
        return x
    mode = "nearest" if op.mode == "nearest" else "bilinear" if len(op.to) == 2 else "linear"
    return f'F.interpolate({x}, size={short(op.to)}, mode="{mode}"{options(align_corners=op.corners or None)})'


def _rounds_right(length: int, n: int) -> bool:
    """Whether `floor(i * (L / n))` in float32, which PyTorch computes, is `floor(i L / n)` for all i."""

    def single(value: float) -> float:
        rounded: float = struct.unpack("f", struct.pack("f", value))[0]
        return rounded

    scale = single(length / n)
    return all(int(single(i * scale)) == i * length // n for i in range(n))


def attend(op: attention.Attend, at: Site, x: str, *others: str) -> str:
    """PyTorch's attention between what lies beside each other."""
    types, mask = attention.parts(at.types)
    q = f"{x}.chunk(3, -1)" if len(types) == 1 else f"({x}, *{others[0]}.chunk(2, -1))"
    hidden = others[-1] if mask else "None"
    return f"{at.helper('attend')}(*{q}, {op.heads}, {hidden}, {None if op.scaled else 1.0}, {op.causal})"


def position(op: sequence.Position, at: Site, x: str) -> str:
    """The encodings of positions, or a sequence with those of its rows."""
    if op.features:
        return f"{at.helper('encoding')}({x}, {op.features}, {op.halves})"
    return f"{at.helper('add_positions')}({x}, {op.halves})"


def nms(op: choice.Nms, at: Site, boxes: str, scores: str) -> str:
    """Greedy, for all samples at once."""
    return f"{at.helper('nms')}({boxes}, {scores}, {op.count}, {literal(op.iou)}, {literal(op.least)})"


def roi_pool(op: regions.RoiPool, at: Site, x: str, boxes: str) -> str:
    """Cells of regions, for all boxes of all samples."""
    return f"{at.helper('roi_pool')}({x}, {boxes}, {op.kernel}, {literal(op.scale)})"


def roi_align(op: regions.RoiAlign, at: Site, x: str, boxes: str) -> str:
    """Points in cells of regions, likewise."""
    return f"{at.helper('roi_align')}({x}, {boxes}, {op.kernel}, {literal(op.scale)}, {op.points}, {op.aligned})"


def _method(name: str) -> Lowering:
    return lambda op, at, x: f"{x}.{name}()"


def _function(name: str) -> Lowering:
    return lambda op, at, x: f"F.{name}({x})"


LOWERINGS: dict[type[Op], Lowering] = {
    conv.Conv: layers.conv,
    conv.UpConv: layers.upconv,
    linear.Fc: layers.fc,
    linear.MatMul: matmul,
    sequence.Embed: layers.embed,
    sequence.Position: position,
    attention.Attention: layers.attention,
    attention.Attend: attend,
    recurrent.Lstm: layers.recurrent,
    recurrent.Gru: layers.recurrent,
    style.ModConv: layers.modconv,
    style.Blur: blur,
    pool.Pool: pool_,
    pool.AdaptivePool: adaptive_pool,
    pool.Unpool: unpool,
    norm.BatchNorm: layers.batch_norm,
    norm.BatchNormScale: lambda op, at, gamma, variance: f"{gamma} / ({variance} + {op.eps}).sqrt()",
    norm.LRN: lrn,
    norm.LayerNorm: layers.layer_norm,
    norm.GroupNorm: layers.group_norm,
    activation.Relu: _function("relu"),
    activation.Relu6: _function("relu6"),
    activation.LeakyRelu: lambda op, at, x: f"F.leaky_relu({x}, {literal(op.slope)})",
    activation.PRelu: layers.prelu,
    activation.Elu: lambda op, at, x: f"F.elu({x}, {op.alpha})",
    activation.Selu: _function("selu"),
    activation.Gelu: lambda op, at, x: f'F.gelu({x}, approximate="tanh")' if op.tanh else f"F.gelu({x})",
    activation.Silu: _function("silu"),
    activation.HardSwish: _function("hardswish"),
    activation.HardSigmoid: _function("hardsigmoid"),
    activation.Sigmoid: _method("sigmoid"),
    activation.Tanh: _method("tanh"),
    activation.Softplus: _function("softplus"),
    activation.Abs: _method("abs"),
    activation.Exp: _method("exp"),
    activation.Log: _method("log"),
    activation.Sqrt: _method("sqrt"),
    activation.Clamp: lambda op, at, x: f"{x}.clamp({literal(op.low)}, {literal(op.high)})",
    activation.Softmax: lambda op, at, x: f"{x}.softmax({op.axis + 1})",
    activation.LogSoftmax: lambda op, at, x: f"{x}.log_softmax({op.axis + 1})",
    noise.Dropout: lambda op, at, x: f"F.dropout({x}, {op.p}, self.training)",
    noise.DropPath: lambda op, at, x: f"{at.helper('drop_path')}({x}, {op.p}, self.training)",
    elementwise.Add: joined("+"),
    elementwise.Mul: joined("*"),
    elementwise.Sub: joined("-"),
    elementwise.Div: div,
    elementwise.Maximum: joined("", "torch.maximum"),
    elementwise.Minimum: joined("", "torch.minimum"),
    elementwise.Scale: lambda op, at, x: f"{literal(op.factor)} * {x}",
    elementwise.Shift: lambda op, at, x: f"{x} + {literal(op.amount)}",
    function.Apply: lambda op, at, x: f"{x}.{op.function}()",
    function.Power: joined("**"),
    function.Compare: compare,
    function.Select: select,
    reduce.Product: product,
    reduce.Mean: reduced("mean"),
    reduce.Sum: reduced("sum"),
    reduce.Largest: reduced("amax"),
    reduce.Smallest: reduced("amin"),
    shape.Flatten: lambda op, at, x: f"{x}.flatten(1)" if at.rank > 1 else f"{x}[:, None]",
    shape.Reshape: lambda op, at, x: f"{x}.reshape({', '.join(map(str, (-1, *op.to)))})",
    shape.Transpose: lambda op, at, x: f"{x}.permute({', '.join(map(str, (0, *(a + 1 for a in op.order))))})",
    shape.Tokens: tokens,
    maps.Pad: pad,
    maps.Crop: crop,
    pieces.Concat: concat,
    pieces.Split: lambda op, at, x: f"{x}.split({op.size}, {op.axis + 1})",
    pieces.Slice: slice_axis,
    pieces.Take: lambda op, at, x: f"{x}.select({op.axis + 1}, {op.index})",
    maps.Upsample: upsample,
    maps.Shuffle: lambda op, at, x: f"F.channel_shuffle({x}, {op.groups})",
    maps.PixelShuffle: lambda op, at, x: f"F.pixel_shuffle({x}, {op.factor})",
    shape.Relayout: lambda op, at, x: x,
    choice.TopK: lambda op, at, x: f"{at.helper('top_k')}({x}, {op.count}, {op.axis + 1})",
    choice.Gather: lambda op, at, x, rows: f"{at.helper('gather_rows')}({x}, {rows})",
    choice.Nms: nms,
    regions.RoiPool: roi_pool,
    regions.RoiAlign: roi_align,
    each.Each: lambda op, at, x: f"{x}.flatten(0, 1)",
    each.Regroup: lambda op, at, x: f"{x}.unflatten(0, (-1, {op.count}))",
}

UNSUPPORTED: dict[type[Op], str] = {
    recurrent.Recurrence: "only a pass makes it",
    sequence.SineTable: "only a pass makes it",
}
"""Operators that are not here, with the reason."""

AS_IS: tuple[type[Op], ...] = (elementwise.Join, activation.Elementwise, linear.MatMul, norm.BatchNormScale)
"""Operators that take what does not depend on the sample as it is, without an axis of samples."""
