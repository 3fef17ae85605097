"""Style-based generators (Karras et al. 2020, arXiv:1912.04958): modulated convolution and FIR filters."""

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
    Weight,
    Window,
    attr,
    common_batch,
    feature_map,
    operator,
    require_at_least,
    require_eps,
    require_float,
    require_rank,
    vector,
)
from netdsl.ops.conv import Conv, UpConv
from netdsl.tensor import TensorType, shape_text


@operator
class ModConv(Op):
    """Modulated convolution (Karras et al. 2020): a convolution whose weights every sample scales by its own style.

    `modconv(style) 512 k3 p1`: for a style s of C values, `w'[o, c] = s[c] w[o, c]`, and unless `nodemod`, divided by
    `sqrt(sum of w'[o] ** 2 + eps)`; then as `conv`, without bias. With `transposed`, as `upconv`, whose `weight` is
    kept as `out x C x kH x kW` too.

    It is worked out as `conv(s x) / sqrt(q s**2 + eps)`, where q, `out x C`, sums the squares of each kernel.

    Cost: the multiply-accumulates of the convolution; besides, one operation per input and output element, and for
    demodulation `2 out C + C + 2 out` (q, which the weights decide, is not counted).
    """

    word: ClassVar[str] = "modconv"
    operands: ClassVar[tuple[int, int | None]] = (2, 2)

    out: int = attr(AttrKind.INT, "output channels", positional=True)
    kernel: tuple[int, ...] = attr(AttrKind.AXES, "kernel extents", short="k")
    stride: tuple[int, ...] = attr(AttrKind.AXES, "stride", default=(1,), short="s")
    padding: tuple[int, ...] = attr(
        AttrKind.AXES, "padding as `conv` has it: one value, one per axis, or starts then ends", default=(0,), short="p"
    )
    transposed: bool = attr(AttrKind.FLAG, "a transposed convolution", default=False, flag="transposed")
    demodulate: bool = attr(AttrKind.FLAG, "keep the scale that the style gives", default=True, flag="nodemod")
    eps: float = attr(AttrKind.FLOAT, "added to the sum of squares", default=1e-8)

    @property
    def layer(self) -> Conv | UpConv:
        """The convolution without its style."""
        kind = UpConv if self.transposed else Conv
        return kind(self.out, self.kernel, self.stride, self.padding, bias=False)

    def resolve(self, inputs: Types) -> Op:
        """Kernel, stride and padding for every axis."""
        require_eps(self.eps)
        layer = self.layer.resolve(inputs[:1])
        return replace(self, kernel=layer.kernel, stride=layer.stride, padding=layer.padding)

    def weights(self, inputs: Types) -> tuple[Weight, ...]:
        """`weight: out x C x kH x kW`."""
        (weight,) = self.layer.weights(inputs[:1])
        return (weight._replace(shape=(self.out, inputs[0].shape[0], *self.kernel)),)

    def infer(self, inputs: Types) -> Types:
        """`C x H x W, C -> out x H' x W'`."""
        x, style = inputs
        require_float(inputs)
        (result,) = self.layer.resolve((x,)).infer((x,))
        if style.shape != x.shape[:1]:
            help = f"make it with `fc {x.shape[0]}`"
            raise ShapeError(
                f"the style has one value for each of {x.shape[0]} channels, not {shape_text(style.shape)}", 1, help
            )
        return (result._replace(batch=common_batch(inputs)),)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """The convolution's, and the style's."""
        x, style = inputs
        macs = self.layer.cost((x._replace(batch=outputs[0].batch),), outputs).macs
        extra = x.elements
        if self.demodulate:
            extra += outputs[0].elements + (2 * self.out * style.size + style.size + 2 * self.out) * max(style.batch, 1)
        return Cost(macs, 2 * macs + extra)

    def window(self, inputs: Types) -> Window:
        """The convolution's."""
        return self.layer.resolve(inputs[:1]).window(inputs[:1])

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Up and down, with and without demodulation, one axis and two."""
        image, style = feature_map(5, 7, 9), vector(5)
        return (
            Sample("same", cls(4, (3,), padding=(1,)), (image, style)),
            Sample("plain", cls(3, (1,), demodulate=False), (image, style)),
            Sample("down", cls(4, (3,), (2,), (0, 1)), (image, style)),
            Sample("up", cls(4, (3,), (2,), transposed=True), (image, style)),
            Sample("rectangular", cls(4, (3, 1), (1, 2), (1, 0), eps=0.5), (image, style)),
            Sample("up_line", cls(4, (4,), (2,), (1,), transposed=True), (feature_map(5, 9), style)),
        )


@operator
class Blur(Op):
    """A fixed low-pass filter on every channel, up- or downsampling around it, as StyleGAN2's `upfirdn2d`: `blur up=2`.

    Along each axis: `up - 1` zeros after every element, padding by zeros, a convolution with the taps (scaled to a sum
    of `up`), then every `s`-th element. Padding, unless given, makes the extents `up / s` of what they were, an odd
    element first: `upsample s2 -> blur` keeps its extents. After a transposed convolution, `blur p1 -> scale 4`; before
    one of stride 2, `blur p2`.

    Cost: a multiply-accumulate per tap and output element; with `up`, per tap and input element.
    """

    word: ClassVar[str] = "blur"

    up: int = attr(AttrKind.INT, "factor by which the axes grow", default=1)
    down: int = attr(AttrKind.INT, "stride", default=1, short="s")
    padding: tuple[int, ...] = attr(
        AttrKind.AXES, "zero padding: one value, one per axis, or starts then ends", default=(), short="p"
    )
    taps: tuple[int, ...] = attr(AttrKind.INTS, "coefficients along each axis", default=(1, 3, 3, 1))

    @property
    def coefficients(self) -> tuple[float, ...]:
        """The taps of one axis as neighbours meet them: a convolution turns them around."""
        return tuple(self.up * tap / sum(self.taps) for tap in reversed(self.taps))

    def resolve(self, inputs: Types) -> Op:
        """Padding as starts then ends."""
        require_rank(inputs[0], (2, 3), "a feature map (channels x height x width, or channels x length)")
        require_at_least(1, (self.up, self.down), "a factor")
        rank = inputs[0].rank - 1
        if self.up > 1 and self.down > 1:
            raise ShapeError("takes `up=` or `s`, not both")
        if not self.taps or sum(self.taps) <= 0:
            raise ShapeError("the taps have a sum above 0")
        if self.padding:
            require_at_least(0, self.padding, "p")
            return replace(self, padding=window.both_sides(self.padding, rank))
        total = len(self.taps) - max(self.up, self.down)
        if total < 0:
            raise ShapeError(f"{len(self.taps)} taps do not cover a factor of {max(self.up, self.down)}")
        start, end = (total + 1) // 2 + self.up - 1, total // 2
        return replace(self, padding=(start,) * rank + (end,) * rank)

    def infer(self, inputs: Types) -> Types:
        """`C x H x W -> C x H' x W'`, `H' = floor((up H + p_top + p_bottom - taps) / s) + 1`."""
        require_float(inputs)
        channels, *spatial = inputs[0].shape
        grown, rank = tuple(self.up * n for n in spatial), len(spatial)
        taps, stride = (len(self.taps),) * rank, (self.down,) * rank
        shape = window.spatial_outputs(grown, taps, stride, self.padding, (1,) * rank)
        return (TensorType((channels, *shape), inputs[0].dtype, inputs[0].batch),)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """As of a depthwise convolution, or a transposed one."""
        rank = inputs[0].rank - 1
        macs = prod((len(self.taps),) * rank) * (inputs if self.up > 1 else outputs)[0].elements
        return Cost(macs, 2 * macs)

    def window(self, inputs: Types) -> Window:
        """The taps that meet elements."""
        rank = inputs[0].rank - 1
        return Window((-(-len(self.taps) // self.up),) * rank, ((self.down, self.up),) * rank)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Up, down, neither; odd taps that are not symmetric; one axis and two."""
        image = feature_map(3, 5, 7)
        return (
            Sample("same", cls(), (image,)),
            Sample("up", cls(up=2), (image,)),
            Sample("down", cls(down=2), (image,)),
            Sample("after_upconv", cls(padding=(1,)), (image,)),
            Sample("sides", cls(padding=(0, 1, 2, 3), taps=(1, 2, 4)), (image,)),
            Sample("rectangular", cls(down=3, padding=(2, 1)), (image,)),
            Sample("up_line", cls(up=3, taps=(1, 2, 3, 2, 1)), (feature_map(3, 9),)),
        )
