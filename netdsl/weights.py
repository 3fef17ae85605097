"""Weights and inputs by name: fresh ones, and checks of given ones against a graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from netdsl import codes
from netdsl.analysis.vocabulary import index_limits
from netdsl.diagnostics import Diagnostic, NetError
from netdsl.ir.graph import Graph, Parameter, Value
from netdsl.limits import DEFAULT_LIMITS, Limits
from netdsl.ops.base import Init
from netdsl.statedict import from_state_dict
from netdsl.tensor import DType, shape_text
from netdsl.tensorfile import read, shown, write

__all__ = ["check_inputs", "check_weights", "from_state_dict", "initialise", "read", "write"]

Array = NDArray[Any]

CHUNK = 2**16
"""Elements drawn at once: the raw bits of a large tensor would take twenty-four times its memory."""


def initialise(graph: Graph, seed: int = 0, limits: Limits = DEFAULT_LIMITS) -> dict[str, Array]:
    """Fresh float32 weights, by name: the same for the same seed on every machine and every NumPy.

    Each tensor draws from a stream of its own, given by the seed and its name, so that a new layer changes no other.
    Raises NetError (E0907) where they would take more than `limits.weight_bytes`.
    """
    size = 4 * sum(parameter.value.type.size for parameter in graph.parameters)
    if size > limits.weight_bytes:
        message = f"the weights of {graph.name} take {size} bytes; at most {limits.weight_bytes} are made"
        raise NetError((Diagnostic(codes.WEIGHTS_TOO_LARGE, message),))
    return {parameter.value.name: _initial(parameter, seed) for parameter in graph.parameters}


def check_weights(graph: Graph, weights: Mapping[str, Array]) -> None:
    """Raise one NetError of all missing (E0501), extra (E0502), misshapen (E0503) and mistyped (E0504) tensors."""
    found: list[Diagnostic] = []
    wanted = {parameter.value.name: parameter.value.type for parameter in graph.parameters}
    for name, type in wanted.items():
        tensor = weights.get(name)
        if tensor is None:
            found.append(_missing_weight(graph, name, type.shape))
        elif tensor.dtype.kind != "f":
            found.append(Diagnostic(codes.WEIGHT_DTYPE, f"`{name}` holds {tensor.dtype}, not real numbers"))
        elif tensor.shape != type.shape:
            message = f"`{name}` is {shape_text(tensor.shape)}; {graph.name} needs {shape_text(type.shape)}"
            found.append(Diagnostic(codes.WEIGHT_SHAPE, message))
    found += [
        Diagnostic(codes.EXTRA_WEIGHT, f"`{shown(name)}` is not a weight of {graph.name}")
        for name in weights
        if name not in wanted
    ]
    if found:
        raise NetError(found)


def check_inputs(graph: Graph, inputs: Mapping[str, Array], dtype: DTypeLike = np.float32) -> int:
    """The number of samples N of these inputs, each `N x` its shape (N times its rows where it has several).

    Real inputs may be of `dtype` or narrower. Raises one NetError that lists every missing (E0603), extra (E0604),
    misshapen (E0605) or mistyped (E0606) one, and indices outside their table (E0608).
    """
    found: list[Diagnostic] = []
    samples: dict[str, int] = {}
    limits = index_limits(graph)
    for value in graph.inputs:
        array = inputs.get(value.name)
        if array is None:
            found.append(
                Diagnostic(codes.MISSING_INPUT, f"the input `{value.name}` is missing: it is {_wanted(value)}")
            )
            continue
        found += _check_dtype(value, array, np.dtype(dtype))
        found += _check_indices(value.name, array, limits.get(value.name))
        rows = array.shape[0] if array.ndim else 0
        if array.shape[1:] != value.type.shape or rows == 0 or rows % value.type.batch:
            found.append(_misshapen(value, array.shape))
        else:
            samples[value.name] = rows // value.type.batch
    if len(set(samples.values())) > 1:
        counts = ", ".join(f"`{name}` has {count}" for name, count in samples.items())
        found.append(Diagnostic(codes.INPUT_SHAPE, f"the inputs have different numbers of samples: {counts}"))
    known = [value.name for value in graph.inputs]
    for name in inputs:
        if name not in known:
            help = f"its inputs: {', '.join(f'`{name}`' for name in known)}"
            found.append(Diagnostic(codes.EXTRA_INPUT, f"`{name}` is not an input of {graph.name}", help=help))
    if found:
        raise NetError(found)
    return next(iter(samples.values()), 1)


def _initial(parameter: Parameter, seed: int) -> Array:
    name, shape = parameter.value.name, parameter.value.type.shape
    if parameter.init.kind == "constant":
        return np.full(shape, parameter.init.value, np.float32)
    if parameter.init.kind == "list":
        return np.array(parameter.init.numbers, np.float32).reshape(shape)
    result = np.empty(prod(shape), np.float32)
    stream = np.random.PCG64(int.from_bytes(sha256(f"{seed} {name}".encode()).digest(), "little"))
    for start in range(0, result.size, CHUNK):
        part = result[start : start + CHUNK]
        part[:] = _draw(parameter.init, stream, part.size)
    return result.reshape(shape)


def _draw(init: Init, stream: np.random.PCG64, count: int) -> NDArray[np.floating[Any]]:
    """`count` numbers, made by additions and multiplications alone, which round alike everywhere."""
    if init.kind == "uniform":
        odd: NDArray[np.int64] = 2 * _integers(stream, count) + 1 - 2**24  # odd numbers between -2^24 and 2^24
        return odd * (init.value / 2**24)
    if init.kind == "normal":  # twelve uniforms of variance 1/12, less their mean
        total: NDArray[np.int64] = _integers(stream, 12 * count).reshape(count, 12).sum(1) - 6 * (2**24 - 1)
        return total * (init.value / 2**24)
    raise ValueError(f"no initialisation is called {init.kind!r}")


def _integers(stream: np.random.PCG64, count: int) -> NDArray[np.int64]:
    return (stream.random_raw(count) >> np.uint64(40)).astype(np.int64)


def _missing_weight(graph: Graph, name: str, shape: tuple[int, ...]) -> Diagnostic:
    file = graph.span.source.name if graph.span else "FILE.net"
    help = f"`netdsl init {file} --net {graph.name} -o weights.safetensors` makes fresh weights"
    return Diagnostic(codes.MISSING_WEIGHT, f"the weight `{name}` ({shape_text(shape)}) is missing", help=help)


def _check_dtype(value: Value, array: Array, dtype: np.dtype[Any]) -> Iterator[Diagnostic]:
    if value.type.dtype is DType.INT64:
        right, wanted = np.can_cast(array.dtype, np.int64) and array.dtype.kind in "iu", "int64"
    elif value.type.dtype is DType.BOOL:
        right, wanted = array.dtype.kind == "b", "bool"
    else:
        right, wanted = array.dtype.kind == "f" and np.can_cast(array.dtype, dtype), dtype.name
    if not right:
        scaled = value.type.dtype.is_float and array.dtype == np.uint8
        pixels = " / 255` if pixels are to be from 0 to 1, as a picture's are" if scaled else "`"
        help = f"convert it: `.astype(numpy.{wanted}){pixels}"
        yield Diagnostic(codes.INPUT_DTYPE, f"the input `{value.name}` holds {array.dtype}, not {wanted}", help=help)


def _check_indices(name: str, array: Array, limit: int | None) -> Iterator[Diagnostic]:
    if limit is None or array.dtype.kind not in "iu" or not array.size:
        return
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= limit:
        message = f"the input `{name}` holds {low if low < 0 else high}, but its table has rows 0 to {limit - 1}"
        yield Diagnostic(codes.INDEX_OUTSIDE, message)


def _misshapen(value: Value, shape: tuple[int, ...]) -> Diagnostic:
    message = f"the input `{value.name}` is {shape_text(shape)}; it must be {_wanted(value)}"
    wanted = value.type.shape
    help = "add the axis of samples: `x[None]`" if shape == wanted and value.type.batch == 1 else None
    if len(shape) == 4 and len(wanted) == 3 and shape[1:] == (*wanted[1:], wanted[0]):
        help = "channels come first: `x.transpose(0, 3, 1, 2)`"
    return Diagnostic(codes.INPUT_SHAPE, message, help=help)


def _wanted(value: Value) -> str:
    rows = "N" if value.type.batch == 1 else f"{value.type.batch}N"
    return " x ".join([rows, *map(str, value.type.shape)])
