"""Rearrangements: values move, and none is computed except between pixels by `upsample`."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import ClassVar

from netdsl.ops import window
from netdsl.ops.base import (
    AttrKind,
    Cost,
    Op,
    Sample,
    ShapeError,
    Types,
    Window,
    attr,
    axis_index,
    common_batch,
    feature_map,
    operator,
    per_axis,
    require_at_least,
    require_float,
    require_rank,
    vector,
)
from netdsl.tensor import DType, Layout, TensorType, shape_text

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
class Pad(Rearrangement):
    """More elements around the spatial axes, as `torch.nn.functional.pad`.

    `constant` adds a value (0 unless given), `reflect` the mirror image without its edge, `replicate` the edge.
    Cost: none.
    """

    word: ClassVar[str] = "pad"

    padding: tuple[int, ...] = attr(AttrKind.AXES, "elements: one value, one per axis, or starts then ends", short="p")
    value: float = attr(AttrKind.FLOAT, "value of the new elements", default=0.0)
    mode: str = attr(
        AttrKind.WORD,
        "where the new elements come from",
        default="constant",
        choices=("constant", "reflect", "replicate"),
    )

    def resolve(self, inputs: Types) -> Op:
        """Padding as starts then ends."""
        require_rank(inputs[0], (2, 3), _MAP)
        require_at_least(0, self.padding, "p")
        return replace(self, padding=window.both_sides(self.padding, inputs[0].rank - 1))

    def infer(self, inputs: Types) -> Types:
        """Each spatial axis grows by its start and its end."""
        require_float(inputs)
        channels, *spatial = inputs[0].shape
        rank = len(spatial)
        for axis, length in enumerate(spatial):
            largest = max(self.padding[axis], self.padding[rank + axis])
            if self.mode == "reflect" and largest >= length:
                raise ShapeError(
                    f"a mirror image of {largest} needs more than {largest} elements, but here are {length}", 0
                )
        shape = (channels, *(n + self.padding[i] + self.padding[rank + i] for i, n in enumerate(spatial)))
        return (inputs[0]._replace(shape=shape),)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Every mode, even and uneven, in 1-D and 2-D."""
        image = feature_map(3, 5, 7)
        return (
            Sample("zeros", cls((1,)), (image,)),
            Sample("value", cls((1, 2), value=0.5), (image,)),
            Sample("reflect", cls((2,), mode="reflect"), (image,)),
            Sample("replicate", cls((0, 1, 2, 3), mode="replicate"), (image,)),
            Sample("line", cls((2, 1)), (feature_map(4, 9),)),
        )


@operator
class Crop(Rearrangement):
    """Cuts the border of a feature map.

    `crop(e4)` cuts `e4` to the spatial extents of `it`, from the middle (an odd element more at the end);
    `crop to=24x24` cuts `it` likewise, `crop p1` cuts one element from each side. Cost: none.
    """

    word: ClassVar[str] = "crop"
    operands: ClassVar[tuple[int, int | None]] = (1, 2)
    implicit: ClassVar[int] = 1

    to: tuple[int, ...] = attr(AttrKind.EXTENTS, "extents to keep", default=())
    padding: tuple[int, ...] = attr(
        AttrKind.AXES, "elements to cut: one value, one per axis, or starts then ends", default=(), short="p"
    )

    def wanted(self) -> tuple[int, int | None]:
        """A second operand gives the extents where no attribute does."""
        return (1, 1) if self.to or self.padding else (2, 2)

    def resolve(self, inputs: Types) -> Op:
        """What is cut, as starts then ends."""
        require_rank(inputs[0], (2, 3), _MAP)
        rank = inputs[0].rank - 1
        if self.padding:
            if self.to:
                raise ShapeError("takes `to=` or `p`, not both")
            require_at_least(0, self.padding, "p")
            return replace(self, padding=window.both_sides(self.padding, rank))
        if not self.to and inputs[1].rank != rank + 1:
            raise ShapeError(
                f"the extents of {shape_text(inputs[1].shape)} do not belong to a feature map of its kind", 1
            )
        to = per_axis(self.to, rank, "to") if self.to else inputs[1].shape[1:]
        spare = [length - n for length, n in zip(inputs[0].shape[1:], to, strict=True)]
        if min(spare) < 0 or min(to) < 1:
            raise ShapeError(f"{shape_text(inputs[0].shape[1:])} cannot be cut to {shape_text(to)}", 0)
        starts = tuple(n // 2 for n in spare)
        return replace(self, to=(), padding=starts + tuple(n - start for n, start in zip(spare, starts, strict=True)))

    def infer(self, inputs: Types) -> Types:
        """Each spatial axis loses its start and its end."""
        channels, *spatial = inputs[0].shape
        rank = len(spatial)
        shape = tuple(n - self.padding[i] - self.padding[rank + i] for i, n in enumerate(spatial))
        if min(shape) < 1:
            raise ShapeError(f"nothing would be left of {shape_text(inputs[0].shape)}", 0)
        return (inputs[0]._replace(shape=(channels, *shape)),)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Like another, to extents, by margins, in 1-D and 2-D."""
        image = feature_map(3, 9, 11)
        return (
            Sample("like", cls(), (image, feature_map(5, 6, 7))),
            Sample("to", cls(to=(4, 8)), (image,)),
            Sample("margins", cls(padding=(0, 1, 2, 3)), (image,)),
            Sample("margin", cls(padding=(2,)), (image,)),
            Sample("margin_by_axis", cls(padding=(1, 2)), (image,)),
            Sample("line", cls(to=(4,)), (feature_map(4, 9),)),
        )


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


@operator
class Upsample(Op):
    """Finer feature maps, as `torch.nn.functional.interpolate`: `upsample s2`, `upsample bilinear to=56x56`.

    `nearest` repeats elements; `bilinear` (linear in 1-D) goes between the two neighbours on each axis, with `corners`
    aligned as PyTorch's `align_corners=True`. Element i of n takes `floor(i L / n)` of L, or looks at
    `(i + 1/2) L / n - 1/2`, with `corners` at `i (L - 1) / (n - 1)`. PyTorch rounds `L / n` to float32 first, which at
    rare factors such as 41 moves a border by one.

    Cost: none for `nearest`; for `bilinear` 3 operations per element of a line, 9 per element of a map (between two
    neighbours, two products and a sum).
    """

    word: ClassVar[str] = "upsample"

    mode: str = attr(
        AttrKind.WORD, "between elements", default="nearest", positional=True, choices=("nearest", "bilinear")
    )
    stride: tuple[int, ...] = attr(AttrKind.AXES, "factor", default=(), short="s")
    to: tuple[int, ...] = attr(AttrKind.EXTENTS, "extents of the result", default=())
    corners: bool = attr(AttrKind.FLAG, "align the corner elements", default=False, flag="corners")

    def resolve(self, inputs: Types) -> Op:
        """The extents of the result."""
        require_rank(inputs[0], (2, 3), _MAP)
        rank = inputs[0].rank - 1
        if self.stride and self.to:
            raise ShapeError("takes a factor (`s2`) or extents (`to=56x56`), not both")
        if not self.stride and not self.to:
            raise ShapeError("needs a factor or extents", help="write it as `s2` or `to=56x56`")
        if self.corners and self.mode == "nearest":
            raise ShapeError("`corners` goes with `bilinear`")
        if self.to:
            to = per_axis(self.to, rank, "to")
        else:
            to = tuple(n * s for n, s in zip(inputs[0].shape[1:], per_axis(self.stride, rank, "s"), strict=True))
        require_at_least(1, to, "an extent of the result")
        return replace(self, stride=(), to=to)

    def infer(self, inputs: Types) -> Types:
        """`C x H x W -> C x to`."""
        require_float(inputs)
        return (inputs[0]._replace(shape=(inputs[0].shape[0], *self.to)),)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """Weighted sums of two neighbours along each axis."""
        if self.mode == "nearest":
            return Cost(0, 0)
        return Cost(0, (9 if len(self.to) == 2 else 3) * outputs[0].elements)

    def window(self, inputs: Types) -> Window:
        """One element, or two neighbours; neighbouring outputs are H / H' apart."""
        reach = 1 if self.mode == "nearest" else 2
        spatial = inputs[0].shape[1:]
        extents = tuple(min(reach, n) for n in spatial)
        return Window(extents, tuple((n, m) for n, m in zip(spatial, self.to, strict=True)))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Both modes, by factors and to extents, both alignments, 1-D."""
        image, line = feature_map(3, 5, 7), feature_map(4, 9)
        return (
            Sample("nearest", cls(stride=(2,)), (image,)),
            Sample("nearest_axes", cls(stride=(2, 3)), (image,)),
            Sample("nearest_to", cls(to=(8, 9)), (image,)),
            Sample("bilinear", cls("bilinear", (2,)), (image,)),
            Sample("bilinear_to", cls("bilinear", to=(9, 8)), (image,)),
            Sample("bilinear_smaller", cls("bilinear", to=(3, 4)), (image,)),
            Sample("corners", cls("bilinear", to=(11, 13), corners=True), (image,)),
            Sample("line", cls(stride=(2,)), (line,)),
            Sample("line_linear", cls("bilinear", (2,)), (line,)),
        )


@operator
class Shuffle(Rearrangement):
    """Channel shuffle (Zhang et al. 2018), as `torch.nn.ChannelShuffle`.

    Channel `g * (C / groups) + c` goes to `c * groups + g`. Cost: none.
    """

    word: ClassVar[str] = "shuffle"

    groups: int = attr(AttrKind.INT, "groups of channels", short="g")

    def infer(self, inputs: Types) -> Types:
        """The operand's own type."""
        require_at_least(1, (self.groups,), "the number of groups")
        if not inputs[0].rank or inputs[0].shape[0] % self.groups:
            raise ShapeError(f"g{self.groups} does not divide the channels of {shape_text(inputs[0].shape)}", 0)
        return inputs

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Two groups and three."""
        return (Sample("two", cls(2), (feature_map(6, 5, 7),)), Sample("three", cls(3), (feature_map(12, 3, 5),)))


@operator
class PixelShuffle(Rearrangement):
    """Channels to pixels (Shi et al. 2016), as `torch.nn.PixelShuffle`: `C*f*f x H x W -> C x H*f x W*f`.

    Cost: none.
    """

    word: ClassVar[str] = "pixelshuffle"

    factor: int = attr(AttrKind.INT, "factor by which both axes grow", positional=True)

    def infer(self, inputs: Types) -> Types:
        """`C*f*f x H x W -> C x H*f x W*f`."""
        require_at_least(1, (self.factor,), "the factor")
        require_rank(inputs[0], (3,), "a feature map (channels x height x width)")
        channels, height, width = inputs[0].shape
        square = self.factor * self.factor
        if channels % square:
            raise ShapeError(f"its {channels} channels are no multiple of {self.factor}x{self.factor}", 0)
        return (inputs[0]._replace(shape=(channels // square, height * self.factor, width * self.factor)),)

    def window(self, inputs: Types) -> Window:
        """One position; neighbouring outputs are 1/f of it apart."""
        return Window((1, 1), ((1, self.factor),) * 2)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Two factors."""
        return (Sample("two", cls(2), (feature_map(8, 3, 5),)), Sample("three", cls(3), (feature_map(18, 2, 3),)))


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
