"""What `each` begins and ends with: a leading axis as rows of the batch. No element moves."""

from __future__ import annotations

from typing import ClassVar

from netdsl.ops.base import (
    AttrKind,
    Op,
    Sample,
    ShapeError,
    Types,
    attr,
    feature_map,
    operator,
    require_at_least,
    vector,
)
from netdsl.ops.shape import Rearrangement
from netdsl.tensor import TensorType, shape_text


class Each(Rearrangement):
    """The leading axis as rows of the batch: what `each` begins with, as `torch.flatten(x, 0, 1)`. Cost: none.

    What follows works on each row by itself, and costs as many times as much as there are rows.
    """

    word: ClassVar[str] = "each"
    written: ClassVar[bool] = False

    def infer(self, inputs: Types) -> Types:
        """`r x S -> S`, r rows for each that there was."""
        (operand,) = inputs
        if not operand.batch:
            raise ShapeError("goes over what depends on the sample, but this is made of weights alone", 0)
        if operand.rank < 2:
            raise ShapeError(f"goes over a leading axis of tensors, but {shape_text(operand.shape)} has one axis", 0)
        return (operand._replace(shape=operand.shape[1:], batch=operand.batch * operand.shape[0]),)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Maps, vectors, rows of a map."""
        return (
            Sample("maps", cls(), (TensorType((3, 2, 5, 7)),)),
            Sample("vectors", cls(), (TensorType((5, 9)),)),
            Sample("lines", cls(), (feature_map(3, 5, 7),)),
        )


@operator
class Regroup(Rearrangement):
    """Rows of the batch as a leading axis: what `each` ends with, as `torch.unflatten(x, 0, (-1, r))`. Cost: none."""

    word: ClassVar[str] = "regroup"
    written: ClassVar[bool] = False

    count: int = attr(AttrKind.INT, "rows that make one tensor", positional=True)

    def resolve(self, inputs: Types) -> Op:
        """Rows that can be put together."""
        require_at_least(1, (self.count,), "count")
        if not inputs[0].batch or inputs[0].batch % self.count:
            raise ShapeError(f"{inputs[0].batch} rows a sample are not {self.count} or a multiple", 0)
        return self

    def infer(self, inputs: Types) -> Types:
        """`S -> r x S`, an r-th of the rows."""
        (operand,) = inputs
        return (operand._replace(shape=(self.count, *operand.shape), batch=operand.batch // self.count),)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """One row: inputs have no more."""
        return (Sample("map", cls(1), (feature_map(3, 5, 7),)), Sample("vector", cls(1), (vector(9),)))
