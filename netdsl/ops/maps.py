"""Feature maps made larger or smaller, and channels in another order: none is computed but pixels by `upsample`."""

from __future__ import annotations

from dataclasses import replace
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
    feature_map,
    operator,
    per_axis,
    require_at_least,
    require_float,
    require_rank,
)
from netdsl.ops.shape import Rearrangement
from netdsl.tensor import shape_text

_MAP = "a feature map (channels x height x width, or channels x length)"


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
