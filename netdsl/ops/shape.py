"""The same elements under other extents, or in another order of axes or of storage."""

from __future__ import annotations

from dataclasses import replace
from math import prod
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
    require_at_least,
    require_rank,
    vector,
)
from netdsl.tensor import Layout, TensorType, shape_text

_MAP = "a feature map (channels x height x width, or channels x length)"


class Rearrangement(Op):
    """Values move. Cost: none."""

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """Nothing is computed."""
        return Cost(0, 0)


class Flatten(Rearrangement):
    """All axes of a sample as one, the last running fastest, as `torch.nn.Flatten`. Cost: none."""

    word: ClassVar[str] = "flatten"

    def infer(self, inputs: Types) -> Types:
        """`C x H x W -> C*H*W`."""
        return (inputs[0]._replace(shape=(inputs[0].size,)),)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Maps and vectors."""
        return (Sample("map", cls(), (feature_map(5, 7, 9),)), Sample("vector", cls(), (vector(17),)))


@operator
class Reshape(Rearrangement):
    """The same elements in the same order under other extents, as `torch.reshape`: `reshape to=[1, width]`.

    One extent may be -1, which is worked out. Cost: none.
    """

    word: ClassVar[str] = "reshape"

    to: tuple[int, ...] = attr(AttrKind.SHAPE, "extents of the result, -1 for what is left")

    def resolve(self, inputs: Types) -> Op:
        """The extent that -1 stands for."""
        given = [extent for extent in self.to if extent != -1]
        require_at_least(1, tuple(given), "an extent")
        if len(given) == len(self.to):
            return self
        rest, left_over = divmod(inputs[0].size, prod(given))
        if left_over or len(given) < len(self.to) - 1:
            raise ShapeError(f"no extent in place of -1 makes {list(self.to)} of {shape_text(inputs[0].shape)}", 0)
        return replace(self, to=tuple(rest if extent == -1 else extent for extent in self.to))

    def infer(self, inputs: Types) -> Types:
        """As many elements as before."""
        if prod(self.to) != inputs[0].size:
            before, size = shape_text(inputs[0].shape), inputs[0].size
            raise ShapeError(f"{before} has {size} elements, but {shape_text(self.to)} has {prod(self.to)}", 0)
        return (inputs[0]._replace(shape=self.to),)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """To more and to fewer axes."""
        return (
            Sample("split", cls((6, 5, 7)), (vector(210),)),
            Sample("merge", cls((15, 14)), (feature_map(5, 6, 7),)),
            Sample("rest", cls((7, -1, 3)), (feature_map(9, 7, 5),)),
        )


@operator
class Transpose(Rearrangement):
    """The axes in another order, as `torch.permute`; without `order`, the last two swapped. Cost: none."""

    word: ClassVar[str] = "transpose"

    order: tuple[int, ...] = attr(AttrKind.INTS, "which axis comes where", default=())

    def resolve(self, inputs: Types) -> Op:
        """The order of all axes, counted from the front."""
        rank = inputs[0].rank
        if not self.order:
            if rank < 2:
                raise ShapeError(f"swaps two axes, but {shape_text(inputs[0].shape)} has {rank}", 0)
            return replace(self, order=(*range(rank - 2), rank - 1, rank - 2))
        order = tuple(axis_index(axis, inputs[0]) for axis in self.order)
        if sorted(order) != list(range(rank)):
            raise ShapeError(f"order names each of {rank} axes once, but this is {list(self.order)}")
        return replace(self, order=order)

    def infer(self, inputs: Types) -> Types:
        """Axis i of the result is axis order[i] of the operand."""
        return (inputs[0]._replace(shape=tuple(inputs[0].shape[axis] for axis in self.order)),)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """The last two, and a cycle."""
        return (
            Sample("swap", cls(), (TensorType((7, 21)),)),
            Sample("cycle", cls((2, 0, 1)), (feature_map(3, 5, 7),)),
            Sample("back", cls((-1, 1, 0)), (feature_map(3, 5, 7),)),
        )


class Tokens(Rearrangement):
    """Positions as a sequence: `C x H x W -> H*W x C`, `C x L -> L x C`. Cost: none."""

    word: ClassVar[str] = "tokens"

    def infer(self, inputs: Types) -> Types:
        """One row for each position."""
        require_rank(inputs[0], (2, 3), _MAP)
        channels, *spatial = inputs[0].shape
        return (inputs[0]._replace(shape=(prod(spatial), channels)),)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Maps and lines."""
        return (Sample("map", cls(), (feature_map(5, 7, 9),)), Sample("line", cls(), (feature_map(5, 9),)))


@operator
class Relayout(Rearrangement):
    """The same tensor in another order of storage. Made by the layout pass. Cost: none."""

    word: ClassVar[str] = "relayout"
    written: ClassVar[bool] = False

    to: str = attr(AttrKind.WORD, "order of storage", positional=True, choices=tuple(layout.value for layout in Layout))

    def infer(self, inputs: Types) -> Types:
        """The operand's type with the new layout."""
        return (inputs[0]._replace(layout=Layout(self.to)),)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """There and back."""
        image = feature_map(5, 7, 9)
        return (
            Sample("last", cls("last"), (image,)),
            Sample("first", cls("first"), (image._replace(layout=Layout.CHANNELS_LAST),)),
        )
