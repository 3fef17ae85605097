"""What models spell out, said as the language says it: a bias after a product, a norm or an activation in its parts.

Exporters take operators apart. Here a graph that was read is gone through once; where a node ends the spelling of an
operator, that operator takes its place, and what only led up to it is dropped. Every idiom is exact but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from netdsl.ir.graph import Graph, Node
from netdsl.onnx.idioms.attention import attention, attention_of_map
from netdsl.onnx.idioms.function import function
from netdsl.onnx.idioms.sheet import Sheet
from netdsl.onnx.idioms.style import cut_or_padded, demodulated, filtered
from netdsl.onnx.read.values import Array
from netdsl.ops.activation import Sqrt
from netdsl.ops.base import Op
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.elementwise import Add, Div, Mul, Scale, Shift, Sub
from netdsl.ops.function import Apply, Compare, Select
from netdsl.ops.linear import Fc
from netdsl.ops.maps import Crop, Pad, Upsample
from netdsl.ops.noise import Dropout, DropPath
from netdsl.ops.norm import GroupNorm, LayerNorm
from netdsl.ops.pieces import Concat
from netdsl.ops.pool import Pool
from netdsl.ops.reduce import Mean
from netdsl.ops.sequence import Position
from netdsl.ops.shape import Reshape

SMALL = 1e-3
"""What is added to a divisor to keep it from 0 is at most this; more is arithmetic."""

Idiom = Callable[[Sheet, Node], Node | None]


def said_again(graph: Graph, weights: Mapping[str, Array]) -> tuple[Graph, dict[str, Array]]:
    """The graph by the language's own operators, and its weights; those that nothing reads any more are left out."""
    sheet = Sheet(graph, weights)
    for node in graph.nodes:
        current: Node | None = node
        while current is not None:
            current = _better(sheet, current)
    if sheet.mistyped():
        sheet = Sheet(graph, weights, masks=False)
        for node in graph.nodes:
            current = node
            while current is not None:
                current = _better(sheet, current)
    return sheet.finish()


def _better(sheet: Sheet, node: Node) -> Node | None:
    for idiom in IDIOMS.get(type(node.op), ()):
        better = idiom(sheet, node)
        if better is not None:
            sheet.put(node, better)
            return better
    return None


def bias(sheet: Sheet, node: Node) -> Node | None:
    """`fc nobias` and a constant for each feature: `fc` with a bias."""
    if isinstance(node.op, Shift):
        product, added = node.inputs[0], np.full(1, node.op.amount, np.float32)
    else:
        found = sheet.constant_among(node)
        if found is None:
            return None
        product, added = found
    layer = sheet.maker(product, Fc)
    if layer is None or len(layer.inputs) > 2 or not sheet.alone(product) or not sheet.alone(layer.inputs[1]):
        return None
    features = product.type.shape[-1]
    if added.size != features or added.shape[-1] != features or product.type != node.outputs[0].type:
        return None
    return sheet.layer(node, Fc(features), layer.inputs[:1], (layer.inputs[1], added))


def growing(sheet: Sheet, node: Node) -> Node | None:
    """`concat(a, b, c)` where c is made of `concat(a, b)`: `concat(concat(a, b), c)`, one tensor that grows."""
    assert isinstance(node.op, Concat)
    known = sheet.longest_beginning(node.op.axis, node.inputs, node.outputs[0])
    if known is None:
        return None
    length, value = known
    if not sheet.leads_to(value, node.inputs[length]):
        return None
    return replace(node, inputs=(value, *node.inputs[length:]))


def standardised(sheet: Sheet, node: Node) -> Node | None:
    """(x - mean) / sqrt(variance + eps) along one axis: `layernorm noaffine`."""
    centred, deviation = node.inputs
    root = sheet.maker(deviation, Sqrt)
    shifted = root and sheet.maker(root.inputs[0], Shift)
    variance = shifted and sheet.maker(shifted.inputs[0], Mean)
    square = variance and sheet.maker(variance.inputs[0], Mul)
    difference = sheet.maker(centred, Sub)
    if shifted is None or variance is None or square is None or difference is None:
        return None
    x, mean = difference.inputs
    average = sheet.maker(mean, Mean)
    if square.inputs != (centred, centred) or average is None or average.inputs != (x,) or average.op != variance.op:
        return None
    assert isinstance(variance.op, Mean)
    assert isinstance(shifted.op, Shift)
    if len(variance.op.axis) != 1 or not variance.op.keep or shifted.op.amount <= 0:
        return None
    return sheet.layer(node, LayerNorm(variance.op.axis[0], shifted.op.amount, affine=False), (x,))


def affine(sheet: Sheet, node: Node) -> Node | None:
    """A norm without weights, a factor and a summand for each of its channels: the norm with weights."""
    found = sheet.constant_among(node)
    product = sheet.maker(found[0], Mul) if found else None
    inner = sheet.constant_among(product) if product else None
    if found is None or inner is None or not sheet.alone(found[0]) or not sheet.alone(inner[0]):
        return None
    norm = sheet.maker(inner[0])
    if norm is None or not isinstance(norm.op, LayerNorm | GroupNorm) or norm.op.affine:
        return None
    shape = inner[0].type.shape
    axis = norm.op.axis if isinstance(norm.op, LayerNorm) else 0
    along = tuple(extent if place == axis else 1 for place, extent in enumerate(shape))
    factor, summand = inner[1], found[1]
    for array in (factor, summand):
        if array.size != shape[axis] or (1,) * (len(shape) - array.ndim) + array.shape != along:
            return None
    return sheet.layer(node, replace(norm.op, affine=True), norm.inputs[:1], (factor.ravel(), summand.ravel()))


def grouped(sheet: Sheet, node: Node) -> Node | None:
    """Groups as channels, each normalised, then channels again: `groupnorm noaffine`."""
    norm = sheet.maker(node.inputs[0], GroupNorm)
    apart = sheet.maker(norm.inputs[0], Reshape) if norm else None
    if norm is None or apart is None or not sheet.alone(node.inputs[0]) or not sheet.alone(norm.inputs[0]):
        return None
    assert isinstance(norm.op, GroupNorm)
    groups = apart.outputs[0].type.shape[0]
    if apart.inputs[0].type != node.outputs[0].type or norm.op.groups != groups:
        return None
    if norm.op.affine and not sheet.neutral(norm.inputs[1], norm.inputs[2]):
        return None
    return sheet.layer(node, GroupNorm(groups, norm.op.eps, affine=False), apart.inputs)


def positions(sheet: Sheet, node: Node) -> Node | None:
    """The sum of a sequence and the table of sines and cosines: `position sine`."""
    found = sheet.constant_among(node)
    if found is None or found[0].type.rank != 2 or found[1].shape != found[0].type.shape:
        return None
    length, features = found[1].shape
    for halves in (False, True):
        if (
            features % 2 == 0
            and features > 2 * halves
            and np.allclose(found[1], table(length, features, halves), atol=1e-6)
        ):
            return sheet.layer(node, Position("sine", halves=halves), found[:1])
    return None


def nearest(sheet: Sheet, node: Node) -> Node | None:
    """The nearest elements of one axis after those of another: of both at once."""
    before = sheet.maker(node.inputs[0], Upsample)
    if before is None or not sheet.alone(node.inputs[0]):
        return None
    if any(not isinstance(op, Upsample) or op.mode != "nearest" for op in (before.op, node.op)):
        return None
    first, second, third = (value.type.shape[1:] for value in (*before.inputs, *node.inputs, *node.outputs))
    if any(a != b != c for a, b, c in zip(first, second, third, strict=True)):
        return None
    return sheet.layer(node, node.op, before.inputs)


def smallest(sheet: Sheet, node: Node) -> Node | None:
    """The opposite of the largest of the opposites in each window: `pool min`."""
    pool = sheet.maker(node.inputs[0], Pool)
    opposite = sheet.maker(pool.inputs[0], Scale) if pool else None
    if pool is None or opposite is None or not node.op == opposite.op == Scale(-1.0):
        return None
    assert isinstance(pool.op, Pool)
    if pool.op.function != "max" or pool.op.indices or not sheet.alone(node.inputs[0]):
        return None
    return sheet.layer(node, replace(pool.op, function="min"), opposite.inputs)


def encoded(sheet: Sheet, node: Node) -> Node | None:
    """Sines and cosines of a position times the frequencies: `position sine features=...`."""
    joined = node if isinstance(node.op, Concat) else sheet.maker(node.inputs[0], Concat)
    if joined is None or len(joined.inputs) != 2:
        return None
    angles = []
    for value, name in zip(joined.inputs, ("sin", "cos"), strict=True):
        waves = sheet.maker(sheet.behind(value, Reshape), Apply)
        if waves is None or waves.op != Apply(name):
            return None
        angles.append(waves.inputs[0])
    product = sheet.maker(angles[0], Mul)
    found = sheet.constant_among(product) if product else None
    if found is None or angles[0] is not angles[1]:
        return None
    positions, given = found
    features = 2 * given.size
    halves = joined is node
    wanted = positions.type._replace(shape=(*positions.type.shape[:-1], features))
    if positions.type.shape[-1:] != (1,) or wanted != node.outputs[0].type or features < 2 + 2 * halves:
        return None
    interleaved = joined.outputs[0].type.shape[-1] == 2 and joined.op == Concat(joined.outputs[0].type.rank - 1)
    if not halves and not interleaved:
        return None
    if not np.allclose(given.ravel(), frequencies(features, halves), rtol=1e-5):
        return None
    return sheet.layer(node, Position("sine", features, halves), (positions,))


def whole_paths(sheet: Sheet, node: Node) -> Node | None:
    """A factor of one for each sample, of which some are dropped: `droppath`."""
    for x, gate in (node.inputs, node.inputs[::-1]) if len(node.inputs) == 2 else ():
        drop = sheet.maker(gate, Dropout)
        if drop is not None and isinstance(drop.op, Dropout) and x.type.batch:
            ones = sheet.array(drop.inputs[0])
            if ones is not None and ones.size == 1 and (ones == 1).all():
                return sheet.layer(node, DropPath(drop.op.p), (x,))
    return None


def divided(sheet: Sheet, node: Node) -> Node | None:
    """A quotient whose divisor has a small summand."""
    assert isinstance(node.op, Div)
    shifted = sheet.maker(node.inputs[1], Shift)
    if shifted is None or node.op.eps or not sheet.alone(node.inputs[1]):
        return None
    assert isinstance(shifted.op, Shift)
    if not 0 < shifted.op.amount <= SMALL:
        return None
    return sheet.layer(node, Div(eps=shifted.op.amount), (node.inputs[0], shifted.inputs[0]))


def chosen(sheet: Sheet, node: Node) -> Node | None:
    """A choice by whether something is not 0, and the choice of 1 or 0, which is the relation itself."""
    mask, a, b = node.inputs
    relation = sheet.maker(mask, Compare)
    if relation is None:
        return None
    assert isinstance(relation.op, Compare)
    values = (sheet.single(a), sheet.single(b))
    if values in ((1, 0), (0, 1)) and mask.type == node.outputs[0].type:
        if values == (1, 0):
            return sheet.layer(node, relation.op, relation.inputs)
        if relation.op.relation == "equal":
            return sheet.layer(node, Compare("unequal"), relation.inputs)
    if relation.op.relation == "equal" and sheet.single(relation.inputs[1]) == 0:
        return sheet.layer(node, Select(), (relation.inputs[0], b, a))
    return None


def frequencies(features: int, halves: bool) -> Array:
    """f_i of `position`."""
    half = features // 2
    return np.asarray(10000.0 ** (-np.arange(half) / (half - 1 if halves else half)))


def table(length: int, features: int, halves: bool) -> Array:
    """The encodings of the first positions."""
    angles = np.arange(length)[:, None] * frequencies(features, halves)
    return np.stack([np.sin(angles), np.cos(angles)], 1 if halves else 2).reshape(length, features)


IDIOMS: dict[type[Op], tuple[Idiom, ...]] = {
    Add: (bias, affine, positions),
    Shift: (bias,),
    Fc: (attention,),
    Concat: (growing, encoded),
    Div: (standardised, demodulated, divided, function),
    Conv: (filtered,),
    UpConv: (filtered,),
    Crop: (cut_or_padded,),
    Pad: (cut_or_padded,),
    Mul: (whole_paths, function),
    Scale: (smallest, function),
    Reshape: (grouped, encoded, attention_of_map),
    Select: (chosen,),
    Upsample: (nearest,),
}
"""What may end in each operator."""
