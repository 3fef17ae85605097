"""Sequences: rows of features, one for each place."""

from __future__ import annotations

from typing import ClassVar

from netdsl.ops.base import (
    AttrKind,
    Cost,
    Init,
    Op,
    Sample,
    ShapeError,
    Types,
    Weight,
    attr,
    operator,
    require_at_least,
)
from netdsl.tensor import DType, TensorType


@operator
class Embed(Op):
    """A row of a table for each whole number, as `torch.nn.Embedding`: `... -> ... x width`.

    Indices run from 0 to `vocab - 1`. An input that reaches an `embed` is checked before any work; an index that a
    layer computes has no such check, and outside the table its row is NaN. Weights `vocab x width`. Cost: none.
    """

    word: ClassVar[str] = "embed"

    vocab: int = attr(AttrKind.INT, "rows of the table", positional=True)
    width: int = attr(AttrKind.INT, "features of a row", positional=True)

    def weights(self, inputs: Types) -> tuple[Weight, ...]:
        """`weight: vocab x width`."""
        return (Weight("weight", (self.vocab, self.width), Init("normal", 1.0)),)

    def infer(self, inputs: Types) -> Types:
        """`... -> ... x width`."""
        require_at_least(1, (self.vocab, self.width), "the extents of the table")
        operand = inputs[0]
        if operand.dtype is not DType.INT64:
            held = "real numbers" if operand.dtype.is_float else "truth values"
            help = "declare the input as `input words: int length`"
            raise ShapeError(f"expects whole numbers, the rows to take, but this operand holds {held}", 0, help)
        return (TensorType((*operand.shape, self.width), DType.FLOAT32, operand.batch),)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """Nothing is computed."""
        return Cost(0, 0)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """A sentence, a page of them, one word."""
        return (
            Sample("sentence", cls(11, 7), (TensorType((9,), DType.INT64),)),
            Sample("page", cls(5, 3), (TensorType((3, 7), DType.INT64),)),
            Sample("word", cls(37, 17), (TensorType((), DType.INT64),)),
        )
