"""Arithmetic between tensors, and with a constant.

Tensors are joined where they have the same axes with extents that are equal or 1, or where one has a single element.
"""

from __future__ import annotations

from typing import ClassVar

from netdsl.ops.activation import Elementwise
from netdsl.ops.base import (
    AttrKind,
    Cost,
    Op,
    Sample,
    ShapeError,
    Types,
    attr,
    common_batch,
    feature_map,
    operator,
    require_float,
    vector,
)
from netdsl.tensor import DType, TensorType, shape_text


def joined_shape(inputs: Types) -> tuple[int, ...]:
    """Shape of the operands spread over each other. Raises ShapeError at the first that does not fit.

    An operand of fewer axes than another has a single element.
    """
    rank = max(operand.rank for operand in inputs)
    shape = (1,) * rank
    for index, operand in enumerate(inputs):
        if operand.size == 1:
            continue
        fits = operand.rank == rank and all(a == b or 1 in (a, b) for a, b in zip(shape, operand.shape, strict=True))
        if not fits:
            larger = [item.shape for item in inputs[:index] if item.size > 1]
            other = larger[0] if larger else next(item.shape for item in inputs if item.rank == rank)
            raise ShapeError(
                f"{shape_text(other)} and {shape_text(operand.shape)} do not fit each other",
                index,
                _mend(other, operand.shape),
            )
        shape = tuple(max(a, b) for a, b in zip(shape, operand.shape, strict=True))
    return shape


def _mend(first: tuple[int, ...], second: tuple[int, ...]) -> str | None:
    short, features = sorted((first, second), key=len)
    if len(short) == 1 < len(features) and short[0] == features[0]:
        column = shape_text(short + (1,) * (len(features) - 1))
        return f"`reshape to={column}` makes the vector one number a channel"
    if len(first) != len(second) or len(first) < 2:
        return None
    if first[1:] == second[1:]:
        small, large = sorted((first[0], second[0]))
        return f"a 1x1 projection takes {small} channels to {large}: `conv {large} k1`"
    if first[0] == second[0]:
        return "pad or crop one of them: `crop(larger)` cuts a tensor to the extents of `it`"
    return None


class Join(Op):
    """Arithmetic between tensors. Cost: 1 operation for each element and each operand after the first."""

    operands: ClassVar[tuple[int, int | None]] = (2, None)

    def infer(self, inputs: Types) -> Types:
        """The operands spread over each other."""
        require_float(inputs)
        return (TensorType(joined_shape(inputs), inputs[0].dtype, common_batch(inputs)),)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """One operation for each element and further operand."""
        return Cost(0, (len(inputs) - 1) * outputs[0].elements)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Equal shapes, spread axes, a scalar, a constant of the network, and more than two operands."""
        image = feature_map(5, 7, 9)
        cases = (
            Sample("equal", cls(), (image, image)),
            Sample("gate", cls(), (image, feature_map(5, 1, 1))),
            Sample("plane", cls(), (feature_map(1, 7, 9), image)),
            Sample("single", cls(), (image, TensorType((1,), DType.FLOAT32, 0))),
            Sample("constant", cls(), (image, TensorType((5, 1, 1), DType.FLOAT32, 0))),
            Sample("vector", cls(), (vector(37), vector(37))),
        )
        return cases if cls.operands[1] == 2 else (*cases, Sample("three", cls(), (image, image, image)))


class Add(Join):
    """The sum of two or more tensors. Cost: 1 operation per element and operand after the first.

    Extents are equal or 1, as in PyTorch; a tensor of fewer axes has a single element. This holds for all joins.
    """

    word: ClassVar[str] = "add"


class Mul(Join):
    """The product, element by element, of two or more tensors. Cost: 1 operation per element and further operand."""

    word: ClassVar[str] = "mul"


class Maximum(Join):
    """The largest of two or more tensors, element by element (maxout). Cost: 1 per element and further operand."""

    word: ClassVar[str] = "maximum"


class Minimum(Join):
    """The smallest of two or more tensors, element by element. Cost: 1 per element and further operand."""

    word: ClassVar[str] = "minimum"


class Sub(Join):
    """The difference of two tensors; `sub(x)` is `it - x`. Cost: 1 operation per element."""

    word: ClassVar[str] = "sub"
    operands: ClassVar[tuple[int, int | None]] = (2, 2)


@operator
class Div(Join):
    """The quotient of two tensors, `a / (b + eps)`; `div(x)` is `it / x`.

    Cost: 1 operation per element, 2 with an eps.
    """

    word: ClassVar[str] = "div"
    operands: ClassVar[tuple[int, int | None]] = (2, 2)

    eps: float = attr(AttrKind.FLOAT, "added to the divisor", default=0.0)

    def infer(self, inputs: Types) -> Types:
        """The operands spread over each other."""
        if not self.eps >= 0:
            raise ShapeError(f"eps is at least 0, but this is {self.eps}")
        return super().infer(inputs)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """A quotient for each element, and a sum where there is an eps."""
        return Cost(0, (2 if self.eps else 1) * outputs[0].elements)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """The joins of all, and a divisor kept from zero."""
        return (*super().samples(), Sample("eps", cls(0.5), (feature_map(3, 5, 7), feature_map(3, 5, 7))))


@operator
class Scale(Elementwise):
    """`factor * x`. Cost: 1 operation per element."""

    word: ClassVar[str] = "scale"
    operations: ClassVar[int] = 1

    factor: float = attr(AttrKind.FLOAT, "factor", positional=True)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """A fraction."""
        return (Sample("map", cls(0.17), (feature_map(5, 7, 9),)),)


@operator
class Shift(Elementwise):
    """`x + amount`. Cost: 1 operation per element."""

    word: ClassVar[str] = "shift"
    operations: ClassVar[int] = 1

    amount: float = attr(AttrKind.FLOAT, "amount", positional=True)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """A fraction."""
        return (Sample("map", cls(-0.375), (feature_map(5, 7, 9),)),)
