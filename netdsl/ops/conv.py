"""Convolution and transposed convolution."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import ClassVar

from netdsl.ops import window
from netdsl.ops.base import (
    ZEROS,
    AttrKind,
    Cost,
    Op,
    Sample,
    ShapeError,
    Types,
    Weight,
    Window,
    attr,
    feature_map,
    he_uniform,
    operator,
    per_axis,
    require_at_least,
    require_float,
    require_rank,
)
from netdsl.tensor import TensorType, shape_text


@operator
class Conv(Op):
    """Convolution (cross-correlation) over one or two spatial axes, as `torch.nn.Conv1d` and `Conv2d`.

    `C x H x W -> out x H' x W'` with `H' = floor((H + p_top + p_bottom - d(k - 1) - 1) / s) + 1`; weights
    `out x C/g x kH x kW`. Padding is by zeros. `same` keeps the extents at stride 1.

    Cost: `out * H' * W' * C/g * kH * kW` multiply-accumulates (padded positions counted); a bias adds one operation per
    output element.
    """

    word: ClassVar[str] = "conv"

    out: int = attr(AttrKind.INT, "output channels", positional=True)
    kernel: tuple[int, ...] = attr(AttrKind.AXES, "kernel extents", short="k")
    stride: tuple[int, ...] = attr(AttrKind.AXES, "stride", default=(1,), short="s")
    padding: tuple[int, ...] = attr(
        AttrKind.AXES, "zero padding: one value, one per axis, or starts then ends", default=(0,), short="p"
    )
    dilation: tuple[int, ...] = attr(AttrKind.AXES, "dilation", default=(1,), short="d")
    groups: int = attr(AttrKind.INT, "groups of channels convolved apart", default=1, short="g")
    same: bool = attr(AttrKind.FLAG, "pad so that stride 1 keeps the extents", default=False, flag="same")
    bias: bool = attr(AttrKind.FLAG, "no bias", default=True, flag="nobias")

    def resolve(self, inputs: Types) -> Conv:
        """One kernel extent, stride and dilation per axis; padding as starts then ends."""
        rank = _spatial_rank(inputs)
        _check_groups(inputs[0].shape[0], self.out, self.groups)
        kernel = per_axis(self.kernel, rank, "k")
        dilation = per_axis(self.dilation, rank, "d")
        window.check_attributes(kernel, self.stride, self.padding, dilation)
        padding = window.resolved_padding(self.padding, self.same, kernel, dilation)
        return replace(
            self,
            kernel=kernel,
            stride=per_axis(self.stride, rank, "s"),
            padding=padding,
            dilation=dilation,
            same=False,
        )

    def weights(self, inputs: Types) -> tuple[Weight, ...]:
        """`weight: out x C/g x kH x kW` and, unless `nobias`, `bias: out`."""
        shape = (self.out, inputs[0].shape[0] // self.groups, *self.kernel)
        weight = Weight("weight", shape, he_uniform(prod(shape[1:])))
        return (weight, Weight("bias", (self.out,), ZEROS)) if self.bias else (weight,)

    def infer(self, inputs: Types) -> Types:
        """`C x H x W -> out x H' x W'`."""
        _spatial_rank(inputs)
        (operand,) = inputs
        spatial = window.spatial_outputs(operand.shape[1:], self.kernel, self.stride, self.padding, self.dilation)
        return (TensorType((self.out, *spatial), operand.dtype, operand.batch),)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """One multiply-accumulate per weight of a filter and output element."""
        macs = outputs[0].elements * (inputs[0].shape[0] // self.groups) * prod(self.kernel)
        return Cost(macs, 2 * macs + (outputs[0].elements if self.bias else 0))

    def window(self, inputs: Types) -> Window:
        """The dilated kernel."""
        extents = tuple(window.extent(k, d) for k, d in zip(self.kernel, self.dilation, strict=True))
        return Window(extents, tuple((s, 1) for s in self.stride))

    def remarks(self, inputs: Types) -> tuple[tuple[str, str], ...]:
        """A border that no window reads, and an even kernel with `same`."""
        op = self.resolve(inputs)
        unread = window.remarks(inputs[0].shape[1:], op.kernel, op.stride, op.padding, op.dilation)
        return (*unread, *window.uneven(op.kernel, op.dilation)) if self.same else unread

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Each attribute on odd extents, in 1-D and 2-D."""
        image, deep = feature_map(3, 9, 11), feature_map(8, 7, 5)
        return (
            Sample("plain", cls(5, (3,)), (image,)),
            Sample("pointwise", cls(16, (1,), bias=False), (deep,)),
            Sample("stride_pad", cls(4, (3,), (2,), (1,)), (image,)),
            Sample("rectangular", cls(4, (3, 5), (1, 2), (1, 2)), (image,)),
            Sample("asymmetric", cls(4, (3,), (2,), (0, 1, 2, 1)), (image,)),
            Sample("dilated", cls(4, (3,), padding=(2,), dilation=(2,)), (image,)),
            Sample("grouped", cls(12, (3,), padding=(1,), groups=4), (deep,)),
            Sample("depthwise", cls(8, (3,), padding=(1,), groups=8, bias=False), (deep,)),
            Sample("same_even", cls(4, (4,), same=True), (image,)),
            Sample("tiles", cls(37, (3,), padding=(1,)), (feature_map(19, 9, 9),)),
            Sample("line", cls(6, (3,), (2,), (1,)), (feature_map(4, 13),)),
            Sample("depthwise_line", cls(4, (3,), groups=4), (feature_map(4, 13),)),
            Sample("depthwise_dot", cls(1, (5,), same=True), (feature_map(1, 4),)),
        )


@operator
class UpConv(Op):
    """Transposed convolution over one or two spatial axes, as `torch.nn.ConvTranspose1d` and `ConvTranspose2d`.

    `C x H x W -> out x H' x W'` with `H' = (H - 1) s - p_top - p_bottom + d(k - 1) + outpad + 1`; weights
    `C x out/g x kH x kW`. Padding cuts the border of the result, `outpad` adds to its end.

    Cost: `C * H * W * out/g * kH * kW` multiply-accumulates (those that the cut border wastes are counted); a bias adds
    one operation per output element.
    """

    word: ClassVar[str] = "upconv"

    out: int = attr(AttrKind.INT, "output channels", positional=True)
    kernel: tuple[int, ...] = attr(AttrKind.AXES, "kernel extents", short="k")
    stride: tuple[int, ...] = attr(AttrKind.AXES, "stride", default=(1,), short="s")
    padding: tuple[int, ...] = attr(
        AttrKind.AXES, "border cut: one value, one per axis, or starts then ends", default=(0,), short="p"
    )
    dilation: tuple[int, ...] = attr(AttrKind.AXES, "dilation", default=(1,), short="d")
    outpad: tuple[int, ...] = attr(AttrKind.AXES, "elements added to the end of each axis", default=(0,))
    groups: int = attr(AttrKind.INT, "groups of channels convolved apart", default=1, short="g")
    bias: bool = attr(AttrKind.FLAG, "no bias", default=True, flag="nobias")

    def resolve(self, inputs: Types) -> UpConv:
        """One value per axis; padding as starts then ends."""
        rank = _spatial_rank(inputs)
        _check_groups(inputs[0].shape[0], self.out, self.groups)
        kernel, stride = per_axis(self.kernel, rank, "k"), per_axis(self.stride, rank, "s")
        dilation, outpad = per_axis(self.dilation, rank, "d"), per_axis(self.outpad, rank, "outpad")
        window.check_attributes(kernel, stride, self.padding, dilation)
        require_at_least(0, outpad, "outpad")
        if any(extra >= max(s, d) for extra, s, d in zip(outpad, stride, dilation, strict=True)):
            raise ShapeError("outpad is smaller than the stride or the dilation")
        padding = window.both_sides(self.padding, rank)
        return replace(self, kernel=kernel, stride=stride, padding=padding, dilation=dilation, outpad=outpad)

    def weights(self, inputs: Types) -> tuple[Weight, ...]:
        """`weight: C x out/g x kH x kW` and, unless `nobias`, `bias: out`."""
        shape = (inputs[0].shape[0], self.out // self.groups, *self.kernel)
        # Each output element gathers about k/s weights along every axis, from the channels of its group.
        reach = max(prod(self.kernel) // prod(self.stride), 1)
        weight = Weight("weight", shape, he_uniform(shape[0] // self.groups * reach))
        return (weight, Weight("bias", (self.out,), ZEROS)) if self.bias else (weight,)

    def infer(self, inputs: Types) -> Types:
        """`C x H x W -> out x H' x W'`."""
        rank = _spatial_rank(inputs)
        (operand,) = inputs
        spatial = tuple(
            (operand.shape[1 + i] - 1) * self.stride[i]
            - self.padding[i]
            - self.padding[rank + i]
            + window.extent(self.kernel[i], self.dilation[i])
            + self.outpad[i]
            for i in range(rank)
        )
        if min(spatial) < 1:
            raise ShapeError(
                f"its padding cuts away the whole result: {shape_text(operand.shape)} would become empty", 0
            )
        return (TensorType((self.out, *spatial), operand.dtype, operand.batch),)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """One multiply-accumulate per input element and weight of its filters."""
        macs = inputs[0].elements * (self.out // self.groups) * prod(self.kernel)
        return Cost(macs, 2 * macs + (outputs[0].elements if self.bias else 0))

    def window(self, inputs: Types) -> Window:
        """The inputs that reach one output; neighbouring outputs are 1/s of an input apart."""
        extents = tuple(
            -(-window.extent(k, d) // s) for k, d, s in zip(self.kernel, self.dilation, self.stride, strict=True)
        )
        return Window(extents, tuple((1, s) for s in self.stride))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Each attribute on odd extents, in 1-D and 2-D."""
        image, deep = feature_map(3, 5, 7), feature_map(8, 3, 5)
        return (
            Sample("double", cls(4, (2,), (2,)), (image,)),
            Sample("overlap", cls(5, (3,), (2,), (1,), outpad=(1,)), (image,)),
            Sample("rectangular", cls(4, (3, 5), (1, 2), (1, 2)), (image,)),
            Sample("asymmetric", cls(4, (4,), (2,), (0, 1, 1, 2)), (image,)),
            Sample("dilated", cls(4, (3,), dilation=(2,), bias=False), (image,)),
            Sample("grouped", cls(6, (3,), (2,), groups=2), (deep,)),
            Sample("depthwise", cls(8, (4,), (2,), (1,), groups=8), (deep,)),
            Sample("tiles", cls(19, (4,), (2,), (1,)), (feature_map(37, 5, 7),)),
            Sample("line", cls(6, (4,), (2,), (1,)), (feature_map(4, 9),)),
        )


def _spatial_rank(inputs: Types) -> int:
    require_rank(inputs[0], (2, 3), "a feature map (channels x height x width, or channels x length)")
    require_float(inputs)
    return inputs[0].rank - 1


def _check_groups(channels: int, out: int, groups: int) -> None:
    require_at_least(1, (out,), "the number of output channels")
    require_at_least(1, (groups,), "the number of groups")
    if channels % groups:
        raise ShapeError(f"g{groups} does not divide its {channels} input channels", 0)
    if out % groups:
        raise ShapeError(f"g{groups} does not divide its {out} output channels", 0)
