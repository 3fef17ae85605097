"""Attributes of an operator that fit an operand: valid by construction, every attribute and choice among them."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from dice import Dice

from netdsl.ops import (
    activation,
    attention,
    conv,
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
    sequence,
    shape,
    style,
)
from netdsl.ops.base import Op, ShapeError
from netdsl.tensor import TensorType

Values = dict[str, Any]
Draw = Callable[[Dice, TensorType], "Values | None"]

CHANNELS = 24
EXTENT = 16
ELEMENTS = 2000
"""How large a sample may grow."""


def divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def has_map(x: TensorType) -> bool:
    return x.rank in (2, 3) and max(x.shape) <= 4 * EXTENT


def per_axis(dice: Dice, values: list[int]) -> tuple[int, ...]:
    """One value for all axes where they are equal, mostly."""
    return tuple(values[:1] if len(set(values)) == 1 and dice.chance(70) else values)


def sides(dice: Dice, starts: list[int], ends: list[int]) -> tuple[int, ...]:
    """Padding as one value, one for each axis, or starts then ends."""
    if starts == ends and dice.chance(80):
        return per_axis(dice, starts)
    return (*starts, *ends)


def axis_of(dice: Dice, x: TensorType) -> int:
    return dice.between(0, x.rank - 1) - (x.rank if dice.chance(40) else 0)


def small(dice: Dice) -> float:
    """A number that is exact in float32, above 0 and at most 2."""
    return dice.between(1, 16) / 8


def nothing(dice: Dice, x: TensorType) -> Values:
    return {}


def optional(**draws: Callable[[Dice], Any]) -> Draw:
    """Each attribute by its own draw, at times left at its default."""
    return lambda dice, x: {name: draw(dice) for name, draw in draws.items() if dice.chance(60)}


def window(
    dice: Dice, lengths: list[int], most: int = 4
) -> tuple[list[int], list[int], list[int], list[int], list[int]]:
    """Kernel, stride, dilation, padding before and after of a convolution's window that fits each axis."""
    square = dice.chance(50)
    kernel, stride, dilation, before, after = [], [], [], [], []
    asymmetric = dice.chance(20)
    for axis, length in enumerate(lengths):
        if axis and square:
            k, s, d, p, q = kernel[0], stride[0], dilation[0], before[0], after[0]
        else:
            k, s = dice.between(1, most), dice.choice((1, 1, 2, 3))
            d = dice.choice((1, 1, 1, 2))
            p = dice.between(0, 2)
            q = dice.between(0, 2) if asymmetric else p
        if d * (k - 1) + 1 > length + p + q:
            k, d = min(k, length + p + q), 1
        for values, value in ((kernel, k), (stride, s), (dilation, d), (before, p), (after, q)):
            values.append(value)
    return kernel, stride, dilation, before, after


def conv_(dice: Dice, x: TensorType) -> Values | None:
    if not has_map(x):
        return None
    groups = dice.choice(divisors(x.shape[0]))
    kernel, stride, dilation, before, after = window(dice, list(x.shape[1:]))
    values: Values = {"out": groups * dice.between(1, max(1, 8 // groups)), "kernel": per_axis(dice, kernel)}
    if dice.chance(30):
        values["same"] = True
    elif any(before + after) or not dice.chance(80):
        values["padding"] = sides(dice, before, after)
    if set(stride) != {1}:
        values["stride"] = per_axis(dice, stride)
    if set(dilation) != {1}:
        values["dilation"] = per_axis(dice, dilation)
    return values | ({"groups": groups} if groups > 1 else {}) | ({"bias": False} if dice.chance(40) else {})


def upconv_(dice: Dice, x: TensorType) -> Values | None:
    if not has_map(x) or max(x.shape[1:]) > EXTENT // 2:
        return None
    groups = dice.choice(divisors(x.shape[0]))
    kernel, stride, dilation, before, after = window(dice, [9] * (x.rank - 1), 3)
    extra = [dice.between(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True)]
    for axis, length in enumerate(x.shape[1:]):
        reached = (length - 1) * stride[axis] + dilation[axis] * (kernel[axis] - 1) + 1
        if before[axis] + after[axis] >= reached:
            before[axis] = after[axis] = 0
    values: Values = {"out": groups * dice.between(1, max(1, 6 // groups)), "kernel": per_axis(dice, kernel)}
    for name, given, usual in (("stride", stride, 1), ("dilation", dilation, 1), ("outpad", extra, 0)):
        if set(given) != {usual}:
            values[name] = per_axis(dice, given)
    if any(before + after):
        values["padding"] = sides(dice, before, after)
    return values | ({"groups": groups} if groups > 1 else {}) | ({"bias": False} if dice.chance(40) else {})


def pool_(dice: Dice, x: TensorType) -> Values | None:
    """Every window holds an element of the map, for a window of padding alone has no maximum and no average."""
    if not has_map(x):
        return None
    values: Values = {"function": dice.choice(("max", "avg", "min"))}
    lengths = list(x.shape[1:])
    form = dice.below(10)
    if form == 0:
        return values | {"whole": True}
    if form <= 2:
        return values | {"to": per_axis(dice, [dice.between(1, length + 1) for length in lengths])}
    if values["function"] == "avg" and dice.chance(40):
        values["count_pad"] = False
    if form == 3:
        kernel = [dice.choice((1, 2, 3)) for _ in lengths]
        values |= {"kernel": per_axis(dice, kernel), "same": True}
        return values | ({"stride": per_axis(dice, [dice.between(1, 2) for _ in lengths])} if dice.chance(70) else {})
    kernel, stride, dilation, before, after = [], [], [], [], []
    dilated, ceil = form == 4, form >= 7
    for length in lengths:
        k, d = (dice.between(2, 3), 2) if dilated else (dice.between(1, 4), 1)
        k, d = (k, d) if d * (k - 1) + 1 <= length else (min(k, length), 1)
        limit = 0 if d > 1 else k // 2
        p = dice.between(0, limit)
        q = limit - p if form in (5, 6) else p
        s = dice.between(1, 3)
        if ceil and -(-(length + 2 * p - k) // s) * s - p >= length:
            s = 1
        for items, item in ((kernel, k), (stride, s), (dilation, d), (before, p), (after, q)):
            items.append(item)
    values["kernel"] = per_axis(dice, kernel)
    if ceil and before == after:
        values["ceil"] = True
    if stride != kernel or dice.chance(30):
        values["stride"] = per_axis(dice, stride)
    if any(before + after):
        values["padding"] = sides(dice, before, after)
    return values | ({"dilation": per_axis(dice, dilation)} if set(dilation) != {1} else {})


def fc_(dice: Dice, x: TensorType) -> Values | None:
    return {"out": dice.between(1, 8)} | ({"bias": False} if dice.chance(40) else {}) if x.rank else None


def recurrent_(dice: Dice, x: TensorType) -> Values | None:
    if x.rank != 2:
        return None
    return {"out": dice.between(1, 5)} | ({"reverse": True} if dice.chance(40) else {})


def modconv_(dice: Dice, x: TensorType) -> Values | None:
    """Those of a convolution, or of a transposed one, that a style can have."""
    if not has_map(x) or not x.batch:
        return None
    transposed = dice.chance(30)
    values = (upconv_ if transposed else conv_)(dice, x)
    if values is None:
        return None
    if transposed:
        values["transposed"] = True
    values = {name: value for name, value in values.items() if name in style.ModConv.__dataclass_fields__}
    try:
        style.ModConv(**values).layer.resolve((x,)).infer((x,))
    except ShapeError:  # without the dilation or the output padding, nothing is left
        return None
    values |= {"demodulate": False} if dice.chance(30) else {}
    return values | ({"eps": small(dice)} if dice.chance(40) else {})


def blur_(dice: Dice, x: TensorType) -> Values | None:
    if not has_map(x):
        return None
    values: Values = {}
    if dice.chance(60):
        values["taps"] = dice.choice(((1, 2, 1), (1, 1), (1, 2, 3), (1, 4, 6, 4, 1)))
    taps = len(values.get("taps", (1, 3, 3, 1)))
    if dice.chance(60):
        name = dice.choice(("up", "down"))
        values[name] = 2 if taps == 2 or name == "down" else dice.between(2, 3)
    shortest = values.get("up", 1) * min(x.shape[1:])
    if shortest < values.get("down", 1):
        return None
    if dice.chance(50):
        starts, ends = ([dice.between(0, 2) for _ in x.shape[1:]] for _ in range(2))
        ends = starts if dice.chance(60) else ends
        if shortest + min(starts) + min(ends) >= taps:
            values["padding"] = sides(dice, starts, ends)
    return values


def lrn_(dice: Dice, x: TensorType) -> Values | None:
    """With an alpha that is large enough to matter."""
    if x.rank < 2:
        return None
    extra = optional(beta=small, offset=small)(dice, x)
    return {"alpha": small(dice)} | extra | ({"size": dice.between(1, 6)} if dice.chance(70) else {})


def normed(**more: Callable[[Dice, TensorType], Any]) -> Draw:
    def draw(dice: Dice, x: TensorType) -> Values | None:
        if not x.rank:
            return None
        values = {name: value(dice, x) for name, value in more.items()}
        values |= {"eps": dice.choice((1e-3, 0.125))} if dice.chance(40) else {}
        return values | ({"affine": False} if dice.chance(30) else {})

    return draw


def groups_of(dice: Dice, x: TensorType) -> int:
    return dice.choice(divisors(x.shape[0]))


def reduced(dice: Dice, x: TensorType) -> Values | None:
    if not x.rank:
        return None
    values: Values = {}
    if dice.chance(70):
        axes = dice.some(range(x.rank))
        values["axis"] = tuple(axis - x.rank if dice.chance(30) else axis for axis in axes)
    return values | ({"keep": True} if dice.chance(60) else {})


def reshape_(dice: Dice, x: TensorType) -> Values:
    rest, extents = x.size, []
    for _ in range(dice.between(0, 2)):
        extents.append(dice.choice(divisors(rest)))
        rest //= extents[-1]
    extents.insert(dice.below(len(extents) + 1), rest)
    if dice.chance(40):
        extents[dice.below(len(extents))] = -1
    return {"to": tuple(extents)}


def transpose_(dice: Dice, x: TensorType) -> Values | None:
    if x.rank < 2:
        return None
    if dice.chance(40):
        return {}
    return {"order": tuple(axis - x.rank if dice.chance(20) else axis for axis in dice.order(range(x.rank)))}


def pad_(dice: Dice, x: TensorType) -> Values | None:
    if not has_map(x) or max(x.shape[1:]) > EXTENT:
        return None
    mode = dice.choice(("constant", "reflect", "replicate"))
    limits = [min(length - 1, 2) if mode == "reflect" else 2 for length in x.shape[1:]]
    before = [dice.between(0, limit) for limit in limits]
    after = [dice.between(0, limit) for limit in limits] if dice.chance(30) else before
    values: Values = {"padding": sides(dice, before, after)}
    if mode != "constant":
        values["mode"] = mode
    elif dice.chance(50):
        values["value"] = small(dice)
    return values


def crop_(dice: Dice, x: TensorType) -> Values | None:
    if not has_map(x):
        return None
    if dice.chance(50):
        return {"to": per_axis(dice, [dice.between(1, length) for length in x.shape[1:]])}
    before = [dice.between(0, (length - 1) // 2) for length in x.shape[1:]]
    after = [dice.between(0, (length - 1) // 2) for length in x.shape[1:]] if dice.chance(50) else before
    return {"padding": sides(dice, before, after)}


def slice_(dice: Dice, x: TensorType) -> Values | None:
    if not x.rank:
        return None
    axis = axis_of(dice, x)
    length = x.shape[axis]
    start = dice.between(0, length - 1)
    stop = dice.between(start + 1, length)
    values: Values = {
        "start": start - length if dice.chance(30) else start,
        "stop": stop - length if stop < length and dice.chance(30) else stop,
    }
    return values | ({"axis": axis} if axis else {}) | ({"step": dice.between(1, 3)} if dice.chance(40) else {})


def take_(dice: Dice, x: TensorType) -> Values | None:
    if not x.rank:
        return None
    axis = axis_of(dice, x)
    index = dice.between(0, x.shape[axis] - 1) - (x.shape[axis] if dice.chance(30) else 0)
    return {"index": index} | ({"axis": axis} if axis else {})


def upsample_(dice: Dice, x: TensorType) -> Values | None:
    if not has_map(x) or max(x.shape[1:]) > EXTENT // 2:
        return None
    values: Values = {"mode": "bilinear"} if dice.chance(60) else {"mode": "nearest"} if dice.chance(30) else {}
    if dice.chance(50):
        values["to"] = per_axis(dice, [dice.between(1, EXTENT) for _ in x.shape[1:]])
    else:
        values["stride"] = per_axis(dice, [dice.between(1, 3) for _ in x.shape[1:]])
    return values | ({"corners": True} if values.get("mode") == "bilinear" and dice.chance(50) else {})


def pixel_shuffle_(dice: Dice, x: TensorType) -> Values | None:
    factors = [f for f in (1, 2, 3) if x.rank == 3 and x.shape[0] % (f * f) == 0 and max(x.shape[1:]) * f <= 2 * EXTENT]
    return {"factor": factors[-1] if dice.chance(90) else dice.choice(factors)} if factors else None


def split_(dice: Dice, x: TensorType) -> Values | None:
    """Two to four pieces."""
    axes = [axis for axis in range(x.rank) if x.shape[axis] > 1]
    if not axes:
        return None
    axis = dice.choice(axes)
    length = x.shape[axis]
    size = dice.choice([n for n in range(1, length) if -(-length // n) <= 4] or [length - 1])
    axis -= x.rank if dice.chance(30) else 0
    return {"size": size} | ({"axis": axis} if axis else {})


def clamp_(dice: Dice, x: TensorType) -> Values:
    low = small(dice) - 2
    return {"low": low, "high": low + small(dice)}


def attention_(dice: Dice, x: TensorType) -> Values | None:
    if x.rank not in (2, 3) or attention.length(x) > 4 * EXTENT:
        return None
    heads = dice.choice(divisors(attention.features(x)))
    flags: Values = {"causal": True} if dice.chance(40) else {}
    flags |= {"scaled": False} if dice.chance(30) else {}
    return flags | ({"heads": heads} if heads > 1 else {}) | ({"bias": False} if dice.chance(30) else {})


def position_(dice: Dice, x: TensorType) -> Values | None:
    """Mostly of a sequence; of positions where the last axis has one element."""
    values: Values = {"kind": "sine"}
    if x.shape[-1:] == (1,) and x.size <= CHANNELS and dice.chance(80):
        halves = dice.chance(50)
        return values | {"features": 2 * dice.between(2, 4)} | ({"halves": True} if halves else {})
    if x.rank != 2 or x.shape[1] % 2 or x.shape[1] < 4:
        return None
    return values | ({"halves": True} if dice.chance(50) else {})


ANY: dict[type[Op], Draw] = {
    attention.Attention: attention_,
    conv.Conv: conv_,
    conv.UpConv: upconv_,
    linear.Fc: fc_,
    pool.Pool: pool_,
    recurrent.Lstm: recurrent_,
    recurrent.Gru: recurrent_,
    style.Blur: blur_,
    norm.BatchNorm: normed(),
    norm.LRN: lrn_,
    norm.LayerNorm: normed(axis=axis_of),
    norm.GroupNorm: normed(groups=groups_of),
    activation.Relu: nothing,
    activation.Relu6: nothing,
    activation.LeakyRelu: optional(slope=small),
    activation.PRelu: lambda dice, x: ({"single": True} if dice.chance(50) else {}) if x.rank else None,
    activation.Elu: optional(alpha=small),
    activation.Selu: nothing,
    activation.Gelu: optional(tanh=lambda dice: True),
    activation.Silu: nothing,
    activation.HardSwish: nothing,
    activation.HardSigmoid: nothing,
    activation.Sigmoid: nothing,
    activation.Tanh: nothing,
    activation.Softplus: nothing,
    activation.Abs: nothing,
    activation.Exp: nothing,
    activation.Log: nothing,
    activation.Sqrt: nothing,
    activation.Clamp: clamp_,
    activation.Softmax: lambda dice, x: ({"axis": axis_of(dice, x)} if dice.chance(70) else {}) if x.rank else None,
    activation.LogSoftmax: lambda dice, x: ({"axis": axis_of(dice, x)} if dice.chance(70) else {}) if x.rank else None,
    noise.Dropout: optional(p=lambda dice: dice.between(0, 7) / 8),
    noise.DropPath: optional(p=lambda dice: dice.between(0, 7) / 8),
    elementwise.Scale: lambda dice, x: {"factor": small(dice) - 1.0625},
    elementwise.Shift: lambda dice, x: {"amount": small(dice) - 1},
    function.Apply: lambda dice, x: {"function": dice.choice(function.FUNCTIONS)},
    reduce.Mean: reduced,
    reduce.Product: reduced,
    reduce.Sum: reduced,
    reduce.Largest: reduced,
    reduce.Smallest: reduced,
    sequence.Position: position_,
    shape.Flatten: nothing,
    shape.Reshape: reshape_,
    shape.Transpose: transpose_,
    shape.Tokens: lambda dice, x: {} if has_map(x) else None,
    maps.Pad: pad_,
    maps.Crop: crop_,
    pieces.Slice: slice_,
    pieces.Take: take_,
    maps.Upsample: upsample_,
    maps.Shuffle: lambda dice, x: {"groups": groups_of(dice, x)} if x.rank > 1 else None,
    maps.PixelShuffle: pixel_shuffle_,
}
"""Operators of one operand and one result. None where the operand does not suit."""


def conv_same(dice: Dice, x: TensorType) -> Values | None:
    if not has_map(x):
        return None
    values: Values = {"out": x.shape[0], "kernel": (dice.choice((1, 3, 2, 5)),)}
    values |= {"groups": groups_of(dice, x)} if dice.chance(40) else {}
    values |= {"bias": False} if dice.chance(40) else {}
    if values["kernel"] == (2,) or dice.chance(50):
        return values | {"same": True}
    return values | {"padding": (values["kernel"][0] // 2,)}


def pool_same(dice: Dice, x: TensorType) -> Values | None:
    if not has_map(x):
        return None
    values: Values = {"function": dice.choice(("max", "avg", "min")), "kernel": (3,), "stride": (1,)}
    return values | ({"same": True} if dice.chance(50) else {"padding": (1,)})


KEEPING: dict[type[Op], Draw] = {
    conv.Conv: conv_same,
    pool.Pool: pool_same,
    linear.Fc: lambda dice, x: {"out": x.shape[-1]} if x.rank else None,
    attention.Attention: ANY[attention.Attention],
    maps.Shuffle: ANY[maps.Shuffle],
    elementwise.Scale: ANY[elementwise.Scale],
    elementwise.Shift: ANY[elementwise.Shift],
    **{op: draw for op, draw in ANY.items() if op.__module__.split(".")[-1] in ("activation", "norm", "noise")},
}
"""Operators whose result has the operand's type."""

POSITIVE = (activation.Log, activation.Sqrt)
BOUNDED = (activation.Exp, reduce.Product)
"""Operators that want operands above 0, or not far from it."""


def fits(shape: tuple[int, ...]) -> bool:
    return prod(shape) <= ELEMENTS and (not shape or shape[0] <= CHANNELS * 16)
