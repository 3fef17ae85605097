"""Constant subgraphs, computed when the model is read: the shape arithmetic of exporters, and other constants."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from netdsl.onnx.read.call import Call
from netdsl.onnx.read.file import DTYPES
from netdsl.onnx.read.values import Array, Known, Unreadable, both

MOST = 2**24
"""Elements of a constant that is computed here: more are not made."""

Fold = Callable[..., Array]


def fold(call: Call) -> tuple[Known, ...] | None:
    """The results of a node whose operands are all known, or None where the operator is not computed here."""
    operands = [operand for operand in call.operands if isinstance(operand, Known)]
    if not operands or len(operands) < sum(operand is not None for operand in call.operands):
        return None
    if call.op == "Split":
        return _split(call, operands[0])
    rule = RULES.get(call.op)
    if rule is None or (call.op == "Expand" and operands[0].other is None and operands[-1].other is not None):
        return None  # what is the same for every sample is not written out
    places = [index for index, operand in enumerate(call.operands) if operand is not None]

    def run(*arrays: Array) -> Array:
        given: list[Array | None] = [None] * len(call.operands)
        for place, array in zip(places, arrays, strict=True):
            given[place] = array
        with np.errstate(all="ignore"):
            result = np.asarray(rule(call, *given))
        if result.size > max(MOST, sum(array.size for array in arrays)):
            raise Unreadable(f"a constant of {result.size} elements is not computed")
        return result

    try:
        return (both(run, *operands, name=_name(call)),)
    except (ValueError, IndexError, TypeError, ZeroDivisionError, OverflowError) as error:
        raise Unreadable(f"its constants do not fit: {' '.join(str(error).split())[:100]}") from None


def _split(call: Call, known: Known) -> tuple[Known, ...]:
    """Pieces along an axis, of given sizes or of equal ones but for the last."""
    array, axis, count = known.fixed("what it cuts"), call.whole("axis", 0), len(call.outputs)
    if not -array.ndim <= axis < array.ndim:
        raise Unreadable(f"there is no axis {axis} to cut along")
    sizes = call.fixed(1).tolist() if call.has(1) else list(call.ints("split"))
    sizes = sizes or [-(-array.shape[axis] // count)] * (count - 1)
    parts = np.split(array, np.cumsum(sizes[: count - 1]), axis)
    return tuple(Known(part, None, f"{known.name}.{place}" if known.name else "") for place, part in enumerate(parts))


def _name(call: Call) -> str:
    """A constant keeps the name of the initializer that it only rearranges."""
    names = [operand.name for operand in call.operands if isinstance(operand, Known) and operand.array.size > 1]
    return f"{names[0]}.{call.op.lower()}" if len(names) == 1 and names[0] else ""


def _room(shape: Any) -> tuple[int, ...]:
    extents = tuple(int(extent) for extent in np.asarray(shape).reshape(-1))
    if prod(max(extent, 1) for extent in extents) > MOST or min(extents, default=0) < 0 or len(extents) > 32:
        raise Unreadable(f"a constant of {extents} is not computed")
    return extents


def _axes(call: Call, axes: Array | None) -> tuple[int, ...] | None:
    if axes is not None:
        return tuple(int(axis) for axis in axes.reshape(-1))
    return call.ints("axes") if "axes" in call.attributes else None


def _cast(call: Call, x: Array) -> Array:
    kind = call.whole("to", 1)
    if kind not in DTYPES:
        raise Unreadable(f"elements of type {kind} are not read")
    return x.astype(np.float32 if kind in (10, 16) else DTYPES[kind].newbyteorder("="))


def _cast_like(call: Call, x: Array, like: Array) -> Array:
    return x.astype(like.dtype)


def _constant_of_shape(call: Call, shape: Array) -> Array:
    value = call.attributes.get("value", np.zeros(1, np.float32))
    return np.full(_room(shape), value.reshape(-1)[0], value.dtype)


def _reshape(call: Call, x: Array, shape: Array) -> Array:
    extents = [int(extent) for extent in shape]
    if not call.whole("allowzero", 0):
        extents = [x.shape[index] if extent == 0 else extent for index, extent in enumerate(extents)]
    return x.reshape(extents)


def _slice(call: Call, x: Array, *parts: Array | None) -> Array:
    if parts:
        starts, ends, axes, steps = [part.tolist() if part is not None else None for part in (*parts, None, None)[:4]]
    else:
        starts, ends, axes, steps = list(call.ints("starts")), list(call.ints("ends")), None, None
        axes = list(call.ints("axes")) or None
    places: list[slice] = [slice(None)] * x.ndim
    for index, start in enumerate(starts or ()):
        step = steps[index] if steps else 1
        end = (ends or ())[index]
        axis = (axes or range(x.ndim))[index]
        places[axis] = slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
    return x[tuple(places)]


def _gather(call: Call, x: Array, indices: Array) -> Array:
    _room((*indices.shape, x.size // max(x.shape[call.whole("axis", 0)], 1)))
    return np.take(x, indices, axis=call.whole("axis", 0))


def _gather_nd(call: Call, x: Array, places: Array) -> Array:
    if call.whole("batch_dims", 0):
        raise Unreadable("a constant of other places in every row is not computed")
    return x[tuple(np.moveaxis(places, -1, 0))]


def _expand(call: Call, x: Array, shape: Array) -> Array:
    return np.broadcast_to(x, _room(np.broadcast_shapes(x.shape, _room(shape))))


def _range(call: Call, start: Array, limit: Array, delta: Array) -> Array:
    count = float((limit.item() - start.item()) / delta.item())
    if count > MOST:
        raise Unreadable(f"a constant of {count:.0f} elements is not computed")
    return np.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


def _tile(call: Call, x: Array, repeats: Array) -> Array:
    _room([extent * int(count) for extent, count in zip(x.shape, repeats, strict=True)])
    return np.tile(x, repeats)


def _divide(call: Call, a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":
        return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)
    return np.divide(a, b)


def _mod(call: Call, a: Array, b: Array) -> Array:
    return np.fmod(a, b) if call.whole("fmod", 0) else np.mod(a, b)


def _clip(call: Call, x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    return np.clip(x, call.attributes.get("min", low), call.attributes.get("max", high))


def _scatter_nd(call: Call, data: Array, indices: Array, updates: Array) -> Array:
    if call.text("reduction", "none") != "none":
        raise Unreadable("a reduction of scattered constants is not computed")
    result = data.copy()
    result[tuple(np.moveaxis(indices, -1, 0))] = updates
    return result


def _reduce(function: Callable[..., Any]) -> Fold:
    def rule(call: Call, x: Array, axes: Array | None = None) -> Array:
        chosen = _axes(call, axes)
        if chosen == () and call.whole("noop_with_empty_axes", 0):
            return x
        return np.asarray(function(x, axis=chosen or None, keepdims=bool(call.whole("keepdims", 1)))).astype(x.dtype)

    return rule


def _joined(function: Callable[..., Any]) -> Fold:
    def rule(call: Call, first: Array, *others: Array) -> Array:
        result = first
        for other in others:
            _room(np.broadcast_shapes(result.shape, other.shape))
            result = function(result, other)
        return result

    return rule


def _plain(function: Callable[..., Any]) -> Fold:
    return lambda call, x: np.asarray(function(x)).astype(x.dtype)


def _squeeze(call: Call, x: Array, axes: Array | None = None) -> Array:
    return np.squeeze(x, _axes(call, axes))


def _trilu(call: Call, x: Array, k: Array | None = None) -> Array:
    shift = int(k.item()) if k is not None else 0
    return np.triu(x, shift) if call.whole("upper", 1) else np.tril(x, shift)


RULES: dict[str, Fold] = {
    "Add": _joined(np.add),
    "Sum": _joined(np.add),
    "Sub": _joined(np.subtract),
    "Mul": _joined(np.multiply),
    "Div": _divide,
    "Mod": _mod,
    "Pow": lambda call, a, b: np.power(a, b).astype(a.dtype),
    "Min": _joined(np.minimum),
    "Max": _joined(np.maximum),
    "Equal": _joined(np.equal),
    "Less": _joined(np.less),
    "LessOrEqual": _joined(np.less_equal),
    "Greater": _joined(np.greater),
    "GreaterOrEqual": _joined(np.greater_equal),
    "And": _joined(np.logical_and),
    "Or": _joined(np.logical_or),
    "Not": lambda call, x: np.logical_not(x),
    "Where": lambda call, c, a, b: np.asarray(np.where(c, a, b)),
    "Neg": _plain(np.negative),
    "Abs": _plain(np.abs),
    "Sqrt": _plain(np.sqrt),
    "Exp": _plain(np.exp),
    "Log": _plain(np.log),
    "Relu": _plain(lambda x: np.maximum(x, 0)),
    "Sigmoid": _plain(lambda x: 1 / (1 + np.exp(-x))),
    "Tanh": _plain(np.tanh),
    "Floor": _plain(np.floor),
    "Ceil": _plain(np.ceil),
    "Round": _plain(np.round),
    "Reciprocal": _plain(np.reciprocal),
    "Sign": _plain(np.sign),
    "Identity": lambda call, x: x,
    "Clip": _clip,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Shape": lambda call, x: np.array(x.shape[call.whole("start", 0) : call.attributes.get("end")], np.int64),
    "Size": lambda call, x: np.array(x.size, np.int64),
    "ConstantOfShape": _constant_of_shape,
    "Concat": lambda call, *parts: np.concatenate(parts, call.whole("axis", 0)),
    "Reshape": _reshape,
    "Transpose": lambda call, x: x.transpose(call.ints("perm") or None),
    "Flatten": lambda call, x: x.reshape(prod(x.shape[: call.whole("axis", 1)]), -1),
    "Squeeze": _squeeze,
    "Unsqueeze": lambda call, x, axes=None: np.expand_dims(x, _axes(call, axes) or ()),
    "Slice": _slice,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "Expand": _expand,
    "Range": _range,
    "Tile": _tile,
    "Trilu": _trilu,
    "ScatterND": _scatter_nd,
    "MatMul": lambda call, a, b: np.matmul(a, b),
    "ReduceSum": _reduce(np.sum),
    "ReduceSumSquare": _reduce(lambda x, **how: np.sum(np.square(x), **how)),
    "ReduceProd": _reduce(np.prod),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "ReduceMean": _reduce(np.mean),
}
"""What is computed on known numbers, by operator."""
