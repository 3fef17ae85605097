"""Reductions over axes."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from netdsl.ops.base import (
    AttrKind,
    Cost,
    Op,
    Sample,
    ShapeError,
    Types,
    attr,
    axis_index,
    feature_map,
    operator,
    require_float,
)


@operator
class Reduce(Op):
    """One value from all elements along some axes, all of them unless said otherwise."""

    axis: tuple[int, ...] = attr(AttrKind.INTS, "axes that go, all unless given", default=())
    keep: bool = attr(AttrKind.FLAG, "keep the axes, with extent 1", default=False, flag="keep")

    def resolve(self, inputs: Types) -> Op:
        """The axes counted from the front, in order."""
        axes = self.axis or tuple(range(inputs[0].rank))
        found = tuple(sorted(axis_index(axis, inputs[0]) for axis in axes))
        if len(set(found)) < len(found):
            raise ShapeError("an axis is given twice")
        return replace(self, axis=found)

    def infer(self, inputs: Types) -> Types:
        """The operand without the axes, or with extent 1 there."""
        require_float(inputs)
        kept = [(1 if i in self.axis else n) for i, n in enumerate(inputs[0].shape) if self.keep or i not in self.axis]
        return (inputs[0]._replace(shape=tuple(kept)),)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """One operation for each element."""
        return Cost(0, inputs[0].elements)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """All axes, one, several, kept."""
        image = feature_map(5, 7, 9)
        return (
            Sample("all", cls(), (image,)),
            Sample("channels", cls((0,)), (image,)),
            Sample("plane", cls((1, 2), keep=True), (image,)),
            Sample("last", cls((-1,)), (feature_map(5, 37),)),
        )


class Mean(Reduce):
    """The mean along axes, as `torch.mean`. Cost: 1 operation per element of the operand."""

    word: ClassVar[str] = "mean"


class Sum(Reduce):
    """The sum along axes, as `torch.sum`. Cost: 1 operation per element of the operand."""

    word: ClassVar[str] = "sum"


class Product(Reduce):
    """The product along axes, as `torch.prod`. Cost: 1 operation per element of the operand."""

    word: ClassVar[str] = "product"

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """All axes, one, several, kept; of few elements, so that no product vanishes."""
        image = feature_map(3, 2, 2)
        return (
            Sample("all", cls(), (image,)),
            Sample("channels", cls((0,)), (image,)),
            Sample("plane", cls((1, 2), keep=True), (image,)),
            Sample("last", cls((-1,)), (feature_map(5, 3),)),
        )


class Largest(Reduce):
    """The largest element along axes, as `torch.amax`. Cost: 1 operation per element of the operand."""

    word: ClassVar[str] = "largest"


class Smallest(Reduce):
    """The smallest element along axes, as `torch.amin`. Cost: 1 operation per element of the operand."""

    word: ClassVar[str] = "smallest"
