"""Which values are stored in float8 (e4m3), and which products multiply it, where a module is asked for it.

A float8 value is its tensor divided by a scale, one number for each value; a power of two, so that it costs no digits.
Weights that meet it are float8 too, with a scale for each row. Sums are float32; what comes after them is as ever.

Only what a product makes is stored so: its tail rounds and cuts it (at 448, the largest number of e4m3). Everything
that reads it must be able to: other products, elementwise operations, maxima of windows. All else stays in float16, and
so do the first and the last product of a net (Micikevicius et al. 2022, "FP8 Formats for Deep Learning").
"""

from __future__ import annotations

from collections.abc import Mapping

from netdsl.analysis.joined import Slice
from netdsl.codegen.triton.expressions import EXPRESSIONS
from netdsl.codegen.triton.site import Site, site
from netdsl.ir.graph import Graph, Value, users
from netdsl.ops.conv import Conv
from netdsl.ops.linear import Fc
from netdsl.ops.noise import Dropout, DropPath
from netdsl.ops.pool import Pool
from netdsl.ops.shape import Relayout
from netdsl.tensor import TensorType

LARGEST = 448.0
"""The largest number of e4m3."""
ROOM = 2.0
"""How many times what calibration has seen a float8 value holds at least."""
DEPTH = 16
"""The least depth of a tap of a float8 product; every depth is a multiple of 8, as its elements are loaded."""
MOVED = (Dropout, DropPath, Relayout)
"""Elementwise operators that have lowerings of their own."""


def scales(graph: Graph, parts: Mapping[Value, Slice]) -> dict[Value, Value]:
    """The float8 values of a graph, each with the value that is its scale; the maximum of windows shares its source's.

    `parts` are values that are stored inside others, which share no scale.
    """
    return _Choice(graph, parts).run()


class _Choice:
    def __init__(self, graph: Graph, parts: Mapping[Value, Slice]) -> None:
        self.graph = graph
        self.parts = parts
        self.apart = {*graph.outputs, *parts, *(part.whole for part in parts.values())}
        self.readers = {value: [site(node) for node in nodes] for value, nodes in users(graph).items()}
        self.inner: set[Value] = set()
        """Values that lead to a product."""
        for node in reversed(graph.nodes):
            if _is_product(site(node)) or self.inner.intersection(node.outputs):
                self.inner.update(node.inputs)

    def run(self) -> dict[Value, Value]:
        """See `scales`."""
        found: dict[Value, Value] = {}
        for node in self.graph.nodes:
            made = site(node)
            value = made.results[0]
            if _is_product(made) and self._readable(value) and self._multiplied(value):
                found[value] = Value(f"{value.name}.scale", TensorType((1,), batch=0))
            elif _is_maximum(made) and made.operands[0] in found:
                found[value] = found[made.operands[0]]
        return found

    def _readable(self, value: Value) -> bool:
        """Whether all that read a value can read it in float8."""
        return value not in self.apart and all(
            self._readable(reader.result) if _is_maximum(reader) else self._reads(reader, value)
            for reader in self.readers.get(value, ())
        )

    def _reads(self, reader: Site, value: Value) -> bool:
        if value not in reader.operands:
            return True  # in its tail
        simple = type(reader.op) in EXPRESSIONS and not isinstance(reader.op, MOVED)
        return simple or (self._multiplies(reader) and value not in reader.operands[1:])

    def _multiplied(self, value: Value) -> bool:
        """Whether a product has a value as its operand."""
        return any(
            self._multiplied(reader.result) if _is_maximum(reader) else self._multiplies(reader)
            for reader in self.readers.get(value, ())
            if value in reader.operands
        )

    def _multiplies(self, reader: Site) -> bool:
        """Whether a product can be one of float8 numbers; the last of a net is not."""
        shape = reader.operands[0].type.shape
        depth = shape[0] if isinstance(reader.op, Conv) else shape[-1]
        return _is_product(reader) and reader.result in self.inner and depth % 8 == 0 and depth >= DEPTH


def _is_product(made: Site) -> bool:
    return isinstance(made.op, Fc) or (isinstance(made.op, Conv) and made.op.groups == 1)


def _is_maximum(made: Site) -> bool:
    """The maximum of windows, with nothing after it; one of the whole map is a reduction."""
    op = made.op
    return (
        isinstance(op, Pool)
        and op.function == "max"
        and not (op.indices or made.tail)
        and op.kernel != made.operands[0].type.shape[1:]
    )
