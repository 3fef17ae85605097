"""Along one axis: tensors one after the other, and parts of one."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from netdsl.ops.base import (
    AttrKind,
    Op,
    Sample,
    ShapeError,
    Types,
    attr,
    axis_index,
    common_batch,
    feature_map,
    operator,
    require_at_least,
    vector,
)
from netdsl.ops.shape import Rearrangement
from netdsl.tensor import DType, TensorType, shape_text


@operator
class Concat(Rearrangement):
    """Two or more tensors one after the other along an axis, channels unless said otherwise, as `torch.cat`.

    Cost: none.
    """

    word: ClassVar[str] = "concat"
    operands: ClassVar[tuple[int, int | None]] = (2, None)

    axis: int = attr(AttrKind.INT, "axis along which they are joined", default=0)

    def resolve(self, inputs: Types) -> Op:
        """The axis counted from the front."""
        return replace(self, axis=axis_index(self.axis, inputs[0]))

    def infer(self, inputs: Types) -> Types:
        """The extents along the axis add up; the others agree."""
        first = inputs[0].shape
        rest = first[: self.axis] + first[self.axis + 1 :]
        for index, operand in enumerate(inputs):
            shape = operand.shape
            if len(shape) != len(first) or shape[: self.axis] + shape[self.axis + 1 :] != rest:
                where = "channels" if self.axis == 0 and len(first) == 3 else f"axis {self.axis}"
                help = "cut the larger one: `crop(larger)` takes it to the extents of `it`"
                raise ShapeError(
                    f"{shape_text(first)} and {shape_text(shape)} differ in more than their {where}",
                    index,
                    help if len(first) == len(shape) == 3 else None,
                )
            if operand.dtype is not inputs[0].dtype:
                raise ShapeError(f"{inputs[0].dtype.label} and {operand.dtype.label} values cannot be joined", index)
        total = sum(operand.shape[self.axis] for operand in inputs)
        shape = (*first[: self.axis], total, *first[self.axis + 1 :])
        return (TensorType(shape, inputs[0].dtype, common_batch(inputs)),)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Two and three, every axis, one that is the network's own."""
        image = feature_map(3, 5, 7)
        return (
            Sample("two", cls(), (image, feature_map(4, 5, 7))),
            Sample("three", cls(), (image, feature_map(4, 5, 7), feature_map(1, 5, 7))),
            Sample("columns", cls(axis=-1), (image, feature_map(3, 5, 2))),
            Sample("rows", cls(axis=1), (image, feature_map(3, 4, 7))),
            Sample("tokens", cls(), (TensorType((1, 9), DType.FLOAT32, 0), TensorType((7, 9)))),
            Sample("vectors", cls(), (vector(5), vector(8))),
        )


@operator
class Split(Rearrangement):
    """Pieces of a given size along an axis, the last may be smaller, as `torch.split`: `split 58 as keep, work`.

    Cost: none.
    """

    word: ClassVar[str] = "split"

    size: int = attr(AttrKind.INT, "size of a piece", positional=True)
    axis: int = attr(AttrKind.INT, "axis that is split", default=0)

    def resolve(self, inputs: Types) -> Op:
        """The axis counted from the front."""
        require_at_least(1, (self.size,), "the size of a piece")
        return replace(self, axis=axis_index(self.axis, inputs[0]))

    def infer(self, inputs: Types) -> Types:
        """One result a piece."""
        shape = inputs[0].shape
        length = shape[self.axis]
        if length // self.size > 1000:
            raise ShapeError(f"{length} elements in pieces of {self.size} are too many pieces (1000 at most)", 0)
        return tuple(
            inputs[0]._replace(shape=(*shape[: self.axis], min(self.size, length - start), *shape[self.axis + 1 :]))
            for start in range(0, length, self.size)
        )

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Even pieces, a smaller last one, another axis."""
        return (
            Sample("halves", cls(3), (feature_map(6, 5, 7),)),
            Sample("rest", cls(4), (feature_map(9, 5, 3),)),
            Sample("columns", cls(3, axis=-1), (feature_map(3, 5, 7),)),
        )


@operator
class Slice(Rearrangement):
    """Elements `start`, `start + step`, ... before `stop` along an axis; negative places count from the end.

    Cost: none.
    """

    word: ClassVar[str] = "slice"

    start: int = attr(AttrKind.INT, "first element", positional=True)
    stop: int = attr(AttrKind.INT, "element after the last", positional=True)
    axis: int = attr(AttrKind.INT, "axis that is sliced", default=0)
    step: int = attr(AttrKind.INT, "distance between elements", default=1)

    def resolve(self, inputs: Types) -> Op:
        """Places and axis counted from the front."""
        axis = axis_index(self.axis, inputs[0])
        require_at_least(1, (self.step,), "the step")
        length = inputs[0].shape[axis]
        start, stop = (place + length if place < 0 else place for place in (self.start, self.stop))
        if not 0 <= start < stop <= length:
            raise ShapeError(f"there is no slice {self.start} to {self.stop} of {length} elements", 0)
        return replace(self, start=start, stop=stop, axis=axis)

    def infer(self, inputs: Types) -> Types:
        """The axis shrinks."""
        shape = inputs[0].shape
        count = -(-(self.stop - self.start) // self.step)
        return (inputs[0]._replace(shape=(*shape[: self.axis], count, *shape[self.axis + 1 :])),)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Plain, from the end, with a step, another axis."""
        image = feature_map(7, 5, 9)
        return (
            Sample("channels", cls(2, 6), (image,)),
            Sample("end", cls(-3, 7), (image,)),
            Sample("step", cls(1, 9, axis=2, step=3), (image,)),
            Sample("rows", cls(1, -1, axis=1), (image,)),
        )


@operator
class Take(Rearrangement):
    """One element along an axis, which goes: `take 0` is a sequence's first token. Cost: none."""

    word: ClassVar[str] = "take"

    index: int = attr(AttrKind.INT, "which element, from the end where negative", positional=True)
    axis: int = attr(AttrKind.INT, "axis that goes", default=0)

    def resolve(self, inputs: Types) -> Op:
        """Element and axis counted from the front."""
        axis = axis_index(self.axis, inputs[0])
        length = inputs[0].shape[axis]
        if not -length <= self.index < length:
            raise ShapeError(f"there is no element {self.index} of {length}", 0)
        return replace(self, index=self.index % length, axis=axis)

    def infer(self, inputs: Types) -> Types:
        """The other axes."""
        shape = inputs[0].shape
        return (inputs[0]._replace(shape=shape[: self.axis] + shape[self.axis + 1 :]),)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """The first, the last, another axis."""
        return (
            Sample("first", cls(0), (TensorType((7, 21)),)),
            Sample("last", cls(-1), (TensorType((7, 21)),)),
            Sample("column", cls(2, axis=-1), (feature_map(3, 5, 7),)),
        )
