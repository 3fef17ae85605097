"""A tile of a result, as a kernel sees it, and the elementwise operations that are applied to it there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from netdsl.codegen.triton.expressions import expression, helpers
from netdsl.codegen.triton.index import atom, linear, row_stride, same_storage, strides
from netdsl.ir.graph import InvalidGraph, Node, Value
from netdsl.ops.activation import PRelu
from netdsl.ops.elementwise import Add, Mul
from netdsl.ops.norm import BatchNorm
from netdsl.tensor import TensorType

WIDTH = 100
"""Characters of a statement, from which it is broken."""


@dataclass(frozen=True)
class Coordinate:
    """One coordinate of a tile's elements: an expression, and the part of the tile (rows, columns) it varies over.

    `part` is empty for a constant.
    """

    text: str
    part: str


@dataclass(frozen=True)
class Place:
    """Where the elements of a tile lie in the result.

    type     the result.
    row      row of the batch.
    axes     coordinate on each axis of the result's shape.
    offset   expression for the offset of the whole tile in the result, in elements.
    masks    for each part, which of it lies inside the result; what is always inside has no entry.
    box      how a tile of the result's size is fetched whole (TMA) from its descriptor: `.load([...])`; empty if never.
    """

    type: TensorType
    row: Coordinate
    axes: tuple[Coordinate, ...]
    offset: str
    masks: Mapping[str, str]
    box: str = ""

    def mask(self, parts: Iterable[str] | None = None) -> str:
        """The elements inside the result, over some parts of the tile (all by default); empty if all are."""
        return " & ".join(text for part, text in self.masks.items() if parts is None or part in parts)

    def is_map(self, operand: TensorType) -> bool:
        """Whether an operand lies in memory as the result does."""
        return same_storage(operand, self.type)

    def address(self, operand: TensorType) -> tuple[str, str]:
        """Offset and mask with which an operand is read that has the result's shape, or is broadcast to it."""
        if self.is_map(operand):
            return self.offset, self.mask()
        used = [(self.row, row_stride(operand))]
        if operand.rank == self.type.rank:
            used += [
                (axis, step) for axis, step, n in zip(self.axes, strides(operand), operand.shape, strict=True) if n > 1
            ]
        elif operand.size > 1:
            raise InvalidGraph(f"{operand} does not broadcast to {self.type}")
        return self._sum(used)

    def along(self, axis: int) -> tuple[str, str]:
        """Offset and mask with which a vector along one axis is read."""
        return self._sum([(self.axes[axis], 1)])

    def _sum(self, used: list[tuple[Coordinate, int]]) -> tuple[str, str]:
        used = [(coordinate, step) for coordinate, step in used if step and coordinate.text != "0"]
        return linear((c.text, step) for c, step in used), self.mask({c.part for c, _ in used})


@dataclass
class Body:
    """Statements of a kernel that compute on a tile, as they are collected.

    scales      float8 values, each with its scale.
    parameters  pointers that the statements read, by the value they stand for.
    lines       statements, each with what follows `#` as its comment.
    """

    place: Place
    half: bool
    scales: Mapping[Value, Value] = field(default_factory=dict)
    parameters: dict[Value, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)

    def name(self, stem: str) -> str:
        """A new name for a variable or a parameter: `relu`, `relu_2`."""
        count, text = 1, stem
        while text in self._taken:
            count += 1
            text = f"{stem}_{count}"
        self._taken.add(text)
        return text

    def parameter(self, value: Value, stem: str) -> str:
        """The pointer through which `value` is read."""
        if value not in self.parameters:
            self.parameters[value] = self.name(stem)
        return self.parameters[value]

    def load(self, value: Value, stem: str, address: tuple[str, str] | None = None, other: str = "") -> str:
        """Read the elements of an operand that stand at the tile's; returns the variable.

        `other` is what stands for those inside the result that the mask leaves out.
        """
        pointer = self.parameter(value, f"{stem}_at")
        if self.place.box and not address and self.place.is_map(value.type):
            variable = self.name(stem)
            self.lines.append(f"{variable} = {pointer}{self.place.box}{self.widen(value)}")
            return variable
        offset, mask = address or self.place.address(value.type)
        variable = self.name(stem)
        line = f"{variable} = {load_text(pointer, offset, mask, other)}{self.widen(value)}"
        if len(line) > WIDTH:
            self.lines += broken(f"{variable}_offset", offset)
            line = f"{variable} = {load_text(pointer, f'{variable}_offset', mask, other)}{self.widen(value)}"
        self.lines.append(line)
        return variable

    def widen(self, value: Value) -> str:
        """The cast after a load: all arithmetic is in float32. Float8 values are multiplied by their scale."""
        cast = ".to(tl.float32)" if self.half and value.type.dtype.is_float else ""
        if value in self.scales:
            cast += f" * tl.load({self.parameter(self.scales[value], 'scale')})"
        return cast

    def apply(self, node: Node, variables: dict[Value, str], outer: Mapping[Value, Value]) -> None:
        """One elementwise operation; its result gets a variable.

        `variables` holds what is computed so far, `outer` the value outside for each that the tail reads from memory.
        """
        inputs = node.inputs
        if (
            isinstance(node.op, Add | Mul)
            and len(inputs) == 2
            and inputs[0] not in variables
            and inputs[1] in variables
        ):
            inputs = inputs[::-1]  # a + b = b + a: one kernel for both
        arguments = []
        for index, value in enumerate(inputs):
            if value in variables:
                arguments.append(variables[value])
                continue
            along = isinstance(node.op, PRelu | BatchNorm) and index > 0 and value.type.size > 1
            address = self.place.along(0) if along else None
            known = outer[value]
            # Read once, even if two operations use it; a vector and a map are never the same value.
            variables[value] = self.load(known, f"{node.op.word}_{'ab'[index] if index < 2 else index}", address)
            arguments.append(variables[value])
        variable = self.name(f"after_{node.op.word}")
        self.lines += broken(variable, expression(node.op, [atom(a) for a in arguments]))
        variables[node.outputs[0]] = variable

    @property
    def helpers(self) -> tuple[str, ...]:
        """The helper functions that the statements call."""
        return helpers("\n".join(self.lines))


def broken(variable: str, text: str) -> list[str]:
    """`variable = text`, in parentheses and broken at its sums where it is long."""
    if len(variable) + len(text) < WIDTH:
        return [f"{variable} = {text}"]
    lines = [""]
    for number, term in enumerate(text.split(" + ")):
        piece = f"+ {term}" if number else term
        if lines[-1] and len(lines[-1]) + len(piece) >= WIDTH:
            lines.append("")
        lines[-1] += f" {piece}" if lines[-1] else piece
    return [f"{variable} = (", *(f"    {line}" for line in lines), ")"]


def load_text(pointer: str, offset: str, mask: str, other: str) -> str:
    """A guarded load."""
    at = pointer if offset == "0" else f"{pointer} + {offset}"
    given = ", ".join((at, *(f"{name}={text}" for name, text in (("mask", mask), ("other", other)) if text)))
    return f"tl.load({given})"
