"""Functions of single elements by what they compute: `x * sigmoid(x)` is `silu`, however it is written.

The nodes between a value and the one tensor that they all start from are run on sample points. Where the results are
those of a function that the language has a word for, it takes their place. Written forms of gelu alone are a dozen.
"""

from __future__ import annotations

import numpy as np

from netdsl.ir.graph import Node, Value
from netdsl.onnx.idioms.sheet import Sheet
from netdsl.onnx.read.values import Array
from netdsl.ops.activation import Elementwise, Gelu, HardSigmoid, HardSwish, Silu, Softmax
from netdsl.ops.base import Op
from netdsl.ops.elementwise import Join
from netdsl.ops.function import Apply
from netdsl.reference.interpret import REFERENCE

MOST = 14
"""Nodes of a function's spelling, at most."""
POINTS = np.linspace(-11.3, 11.7, 93)
SAME = 1e-6
"""Largest difference over the largest value: what the constants of a model lose in float32."""
FUNCTIONS: tuple[Op, ...] = (Gelu(), Gelu(tanh=True), Silu(), HardSwish(), HardSigmoid(), Apply("trunc"))
VALUES = [np.asarray(REFERENCE[type(op)](op, POINTS)) for op in FUNCTIONS]


def function(sheet: Sheet, node: Node) -> Node | None:
    """The word for what the nodes that end here compute."""
    spelling: list[Node] = []
    frontier = set(node.inputs)
    last = node
    while True:
        spelling.append(last)
        starts = [value for value in frontier if sheet.single(value) is None]
        if len(starts) == 1 and len(spelling) > 1 and starts[0].type == node.outputs[0].type:
            found = _named(sheet, starts[0], spelling[::-1])
            if found is not None:
                return sheet.layer(node, found, starts)
        makers = [maker for value in starts if (maker := sheet.maker(value)) is not None and _is_plain(maker)]
        if not makers or len(spelling) == MOST or len(starts) > 3:
            return None
        last = max(makers, key=sheet.place)
        frontier.difference_update(last.outputs)
        frontier.update(last.inputs)


def _is_plain(node: Node) -> bool:
    """Whether each element of the result depends on the elements in its place alone, and on constants."""
    return isinstance(node.op, Elementwise | Join) and not isinstance(node.op, Softmax) and len(node.outputs) == 1


def _named(sheet: Sheet, start: Value, nodes: list[Node]) -> Op | None:
    known: dict[Value, Array] = {start: POINTS}
    with np.errstate(all="ignore"):
        for node in nodes:
            arrays = [known[v] if v in known else np.array([sheet.single(v)], float) for v in node.inputs]
            known[node.outputs[0]] = np.asarray(REFERENCE[type(node.op)](node.op, *arrays))
    results = known[nodes[-1].outputs[0]]
    for op, values in zip(FUNCTIONS, VALUES, strict=True):
        if np.abs(results - values).max() <= SAME * np.abs(values).max():
            return op
    return None
