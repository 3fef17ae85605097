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
    require_float,
    require_rank,
    vector,
)
from netdsl.tensor import DType, TensorType, shape_text


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


@operator
class Position(Op):
    """Sinusoidal positions (Vaswani et al. 2017): `position sine` adds to row p of a sequence the encoding of p.

    Features 2i and 2i + 1 of it are the sine and the cosine of `p / 10000^(2i / features)`. With `features=`, the
    operand holds positions itself, and becomes their encodings: `... x 1 -> ... x features`, as time in diffusion.
    `halves` has all sines before all cosines, and frequencies `10000^(-i / (features / 2 - 1))`, as diffusion models.

    Cost: 1 operation per element for the sum, as the encodings are made once; with `features=` 2 per element, for a
    product, and a sine or cosine.
    """

    word: ClassVar[str] = "position"

    kind: str = attr(AttrKind.WORD, "kind of encoding", positional=True, choices=("sine",))
    features: int = attr(AttrKind.INT, "features of the encoding of an operand that holds positions", default=0)
    halves: bool = attr(AttrKind.FLAG, "sines first, then cosines", default=False, flag="halves")

    def infer(self, inputs: Types) -> Types:
        """The operand's own type; with `features=`, `... x 1 -> ... x features`."""
        require_float(inputs)
        operand = inputs[0]
        if self.features:
            require_encoding(self.features, self.halves)
            if operand.shape[-1:] != (1,):
                raise ShapeError(f"expects positions, `... x 1`, but this is {shape_text(operand.shape)}", 0)
            return (operand._replace(shape=(*operand.shape[:-1], self.features)),)
        require_rank(operand, (2,), "a sequence (length x features)")
        require_encoding(operand.shape[1], self.halves)
        return inputs

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """A sum, or a product and a function."""
        return Cost(0, (2 if self.features else 1) * outputs[0].elements)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Sequences, and positions given, in both orders."""
        return (
            Sample("sequence", cls("sine"), (TensorType((7, 10)),)),
            Sample("halves", cls("sine", halves=True), (TensorType((5, 6)),)),
            Sample("time", cls("sine", 8), (vector(1),)),
            Sample("times", cls("sine", 6, halves=True), (TensorType((5, 1)),)),
        )


def require_encoding(features: int, halves: bool) -> None:
    """Refuse an encoding whose sines lack cosines."""
    least = 4 if halves else 2
    if features < least or features % 2:
        raise ShapeError(f"a position is encoded in an even number of features, at least {least}, not {features}", 0)


@operator
class SineTable(Op):
    """The encodings of positions 0 to `length - 1`, `length x features`; see `position`. Made by a pass. Cost: none."""

    word: ClassVar[str] = "sinetable"
    operands: ClassVar[tuple[int, int | None]] = (0, 0)
    written: ClassVar[bool] = False

    length: int = attr(AttrKind.INT, "positions", positional=True)
    features: int = attr(AttrKind.INT, "features of an encoding", positional=True)
    halves: bool = attr(AttrKind.FLAG, "sines first, then cosines", default=False, flag="halves")

    def infer(self, inputs: Types) -> Types:
        """`length x features`, the same for every sample."""
        require_at_least(1, (self.length,), "the number of positions")
        require_encoding(self.features, self.halves)
        return (TensorType((self.length, self.features), DType.FLOAT32, 0),)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """Made once."""
        return Cost(0, 0)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Both orders."""
        return (Sample("pairs", cls(7, 10), ()), Sample("halves", cls(5, 6, True), ()))
