"""Attention in its parts: projections, heads, scores, a softmax, sums of values, one more projection.

Exporters move the heads about in many ways. What a chain of moves does is found by sending numbers through it: each
element of q, k and v then says which feature of which place of the projection it is.
"""

from __future__ import annotations

from math import isclose, sqrt
from typing import NamedTuple

import numpy as np

from netdsl.ir.graph import Node, Value
from netdsl.onnx.idioms.sheet import Sheet
from netdsl.onnx.read.values import Array
from netdsl.ops.activation import Softmax
from netdsl.ops.attention import Attention
from netdsl.ops.elementwise import Maximum, Scale
from netdsl.ops.function import Select
from netdsl.ops.linear import Fc, MatMul
from netdsl.ops.noise import Dropout
from netdsl.ops.pieces import Slice, Split, Take
from netdsl.ops.shape import Flatten, Reshape, Tokens, Transpose
from netdsl.reference.interpret import REFERENCE
from netdsl.tensor import DType

MOVES = (Flatten, Reshape, Slice, Split, Take, Tokens, Transpose)
LOWEST = -1e4
"""A score from here down hides its key."""
MOST = 2**22
"""Elements of a projection that are followed."""


class Heads(NamedTuple):
    """A projection as heads: its layer, and for each head and each feature of it, the feature of the projection."""

    layer: Node
    features: Array
    factor: float


class Scores(NamedTuple):
    """q k^T before the softmax, how it is scaled, and what hides keys."""

    product: Node
    factor: float
    mask: Value | None
    causal: bool


def attention(sheet: Sheet, node: Node) -> Node | None:
    """The projection that ends an attention: `attention`."""
    start, order, _ = _followed(sheet, node.inputs[0])
    product = sheet.maker(start, MatMul)
    if product is None or node.inputs[0].type.rank != 2 or not sheet.alone(start):
        return None
    scores = _scores(sheet, product.inputs[0])
    if scores is None:
        return None
    first, second = scores.product.op, product.op
    assert isinstance(first, MatMul)
    assert isinstance(second, MatMul)
    if first.transpose_a or second.transpose_a:
        return None
    q = _heads(sheet, scores.product.inputs[0], False)
    k = _heads(sheet, scores.product.inputs[1], not first.transpose_b)
    v = _heads(sheet, product.inputs[1], second.transpose_b)
    if q is None or k is None or v is None:
        return None
    return _packed(sheet, node, (q, k, v), scores, order)


def _packed(sheet: Sheet, node: Node, parts: tuple[Heads, Heads, Heads], scores: Scores, order: Array) -> Node | None:
    """The layer that does it all, with weights in its order."""
    q, k, v = parts
    heads, depth = q.features.shape
    x, memory = q.layer.inputs[0], k.layer.inputs[0]
    width, inner = x.type.shape[-1], memory.type.shape[-1]
    layers = [part.layer for part in parts]
    biased = {len(layer.inputs) == 3 for layer in (*layers, node)}
    queries = x.type.shape[0]
    plain = order.reshape(queries, -1) % (queries * depth)
    if (
        not k.features.shape == v.features.shape == (heads, depth)
        or v.layer.inputs[0] is not memory
        or heads * depth != width
        or node.outputs[0].type.shape[-1] != width
        or node.inputs[0].type.shape != x.type.shape
        or len(biased) > 1
        or (plain // depth != np.arange(queries)[:, None]).any()
    ):
        return None
    columns = order // (queries * depth) * depth + order % depth
    if (columns != columns[:1]).any():
        return None
    factor = q.factor * k.factor * scores.factor * v.factor
    scaled = not isclose(factor, 1, rel_tol=1e-5) or depth == 1
    usual = 1 / sqrt(depth) if scaled else 1.0
    if not isclose(factor, usual, rel_tol=1e-5) or v.factor != 1:
        return None
    (bias,) = biased
    arrays = [[sheet.array(weight) for weight in layer.inputs[1:]] for layer in (*layers, node)]
    if any(array is None for own in arrays for array in own):
        return None
    given = [[np.asarray(array) for array in own] for own in arrays]
    into = [own[0][part.features.ravel()] for own, part in zip(given[:3], parts, strict=True)]
    out = np.empty_like(given[3][0])
    out[:, columns[0]] = given[3][0]
    weights = [np.concatenate(into)] if inner == width else into
    if bias:
        weights.append(
            np.concatenate([own[1][part.features.ravel()] for own, part in zip(given[:3], parts, strict=True)])
        )
    weights.append(out)
    weights += given[3][1:]
    operands = [x] if memory is x else [x, memory]
    if scores.mask is not None:
        operands.append(sheet.mask(scores.mask))
    return sheet.layer(node, Attention(heads, scores.causal, scaled, bias), operands, weights)


def _followed(sheet: Sheet, value: Value) -> tuple[Value, Array, float]:
    """Where a value is moved from, which element of that each of its elements is, and by what it was multiplied."""
    chain: list[tuple[Node, int]] = []
    factor = 1.0
    while (node := sheet.maker(value)) is not None and isinstance(node.op, (*MOVES, Scale, Dropout)):
        if isinstance(node.op, Scale):
            factor *= node.op.factor
        elif not isinstance(node.op, Dropout):
            chain.append((node, node.outputs.index(value)))
        value = node.inputs[0]
    count = value.type.size
    places = np.arange(count if count <= MOST else 0).reshape(value.type.shape if count <= MOST else (0,))[None]
    for node, index in reversed(chain if count <= MOST else []):
        moved = REFERENCE[type(node.op)](node.op, places)
        places = moved[index] if isinstance(moved, tuple) else np.asarray(moved)
    return value, places[0], factor


def _heads(sheet: Sheet, value: Value, transposed: bool) -> Heads | None:
    """A factor of a product, `heads x length x depth`, as the heads of a projection."""
    source, places, factor = _followed(sheet, value)
    layer = sheet.maker(source, Fc)
    if layer is None or source.type.rank != 2 or places.ndim < 2:
        return None
    if transposed:
        places = places.swapaxes(-1, -2)
    places = places.reshape(-1, *places.shape[-2:])
    length, width = source.type.shape
    features = places % width
    if places.shape[1] != length or (places // width != np.arange(length)[:, None]).any():
        return None
    return None if (features != features[:, :1]).any() else Heads(layer, features[:, 0], factor)


def _scores(sheet: Sheet, value: Value) -> Scores | None:
    """From the softmax back to q k^T."""
    value = sheet.behind(value, Dropout)
    hidden, zeros = None, sheet.maker(value, Select)
    if zeros is not None and sheet.single(zeros.inputs[1]) == 0:  # a query that sees nothing gets zeros
        hidden, value = zeros.inputs[0], zeros.inputs[2]
    softmax = sheet.maker(sheet.behind(value, Reshape), Softmax)
    if softmax is None or softmax.op != Softmax(softmax.inputs[0].type.rank - 1):
        return None
    value = sheet.behind(softmax.inputs[0], Reshape)
    mask, causal = None, False
    select = sheet.maker(value, Select)
    if select is not None:
        lowest = sheet.single(select.inputs[1])
        found = _hidden(sheet, select.inputs[0])
        if lowest is None or lowest > LOWEST or found is None:
            return None
        mask, causal = found
        if (mask is not None) != (hidden is select.inputs[0]):
            return None
        value = select.inputs[2]
    elif hidden is not None:
        return None
    factor = 1.0
    while (node := sheet.maker(value)) is not None and isinstance(node.op, Scale | Reshape):
        factor *= node.op.factor if isinstance(node.op, Scale) else 1.0
        value = node.inputs[0]
    product = sheet.maker(value, MatMul)
    return None if product is None else Scores(product, factor, mask, causal)


def _hidden(sheet: Sheet, value: Value) -> tuple[Value | None, bool] | None:
    """What hides keys: an input of truth values, all that is later, or both. None where it is neither."""
    both = sheet.maker(value, Maximum)
    mask: Value | None = None
    causal = False
    for part in both.inputs if both is not None else (value,):
        array = sheet.array(part)
        source = sheet.behind(part, Reshape)
        if array is not None:
            later = np.tri(*array.shape[-2:]) == 0 if array.ndim > 1 else None
            if later is None or causal or (array.reshape(-1, *array.shape[-2:]) != later).any():
                return None
            causal = True
        elif sheet.masks and mask is None and source in sheet.graph.inputs and source.type.dtype is not DType.INT64:
            mask = source
        else:
            return None
    return mask, causal


def attention_of_map(sheet: Sheet, node: Node) -> Node | None:
    """Attention between the positions of a map, laid out as a sequence for it."""
    back = sheet.maker(node.inputs[0], Transpose)
    inner = sheet.maker(back.inputs[0], Attention) if back else None
    apart = sheet.maker(inner.inputs[0], Tokens) if inner else None
    if back is None or inner is None or apart is None or not sheet.alone(back.inputs[0]):
        return None
    if back.op != Transpose((1, 0)) or apart.inputs[0].type != node.outputs[0].type or len(inner.operands) > 1:
        return None
    if not sheet.alone(node.inputs[0]):
        return None
    return sheet.layer(node, inner.op, apart.inputs, inner.weights)
