"""Normalisation."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from netdsl.ops.base import (
    ONES,
    ZEROS,
    AttrKind,
    Cost,
    Op,
    Sample,
    ShapeError,
    Types,
    Weight,
    attr,
    axis_index,
    feature_map,
    operator,
    require_at_least,
    require_eps,
    require_float,
    vector,
)
from netdsl.tensor import DType, TensorType


def _affine(channels: int) -> tuple[Weight, ...]:
    return (Weight("weight", (channels,), ONES), Weight("bias", (channels,), ZEROS))


def _require_channels(inputs: Types) -> int:
    require_float(inputs)
    if not inputs[0].rank:
        raise ShapeError("expects at least one axis, the channels", 0)
    return inputs[0].shape[0]


@operator
class BatchNorm(Op):
    """Batch normalisation over axis 0 (Ioffe & Szegedy 2015) with running statistics, as `torch.nn.BatchNorm2d`.

    `weight * (x - running_mean) / sqrt(running_var + eps) + bias`, each of one value per channel. The running
    statistics are buffers, not parameters. Cost: 2 operations per element at inference, a product and a sum, since the
    rest is the same for every input.
    """

    word: ClassVar[str] = "bn"

    eps: float = attr(AttrKind.FLOAT, "added to the variance", default=1e-5)
    affine: bool = attr(AttrKind.FLAG, "no learned scale and shift", default=True, flag="noaffine")

    def weights(self, inputs: Types) -> tuple[Weight, ...]:
        """`weight` and `bias` unless `noaffine`, then the buffers `running_mean` and `running_var`."""
        channels = inputs[0].shape[0]
        buffers = (
            Weight("running_mean", (channels,), ZEROS, False),
            Weight("running_var", (channels,), ONES, False),
        )
        return (*_affine(channels), *buffers) if self.affine else buffers

    def resolve(self, inputs: Types) -> Op:
        """Nothing is implied, but there must be channels."""
        _require_channels(inputs)
        return self

    def infer(self, inputs: Types) -> Types:
        """The operand's own type."""
        require_eps(self.eps)
        _require_channels(inputs)
        return inputs

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """A product and a sum per element."""
        return Cost(0, 2 * outputs[0].elements)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Maps, lines and vectors."""
        return (
            Sample("map", cls(), (feature_map(5, 7, 9),)),
            Sample("line", cls(eps=1e-3), (feature_map(5, 9),)),
            Sample("vector", cls(affine=False), (vector(17),)),
        )


@operator
class BatchNormScale(Op):
    """`weight / sqrt(running_var + eps)`: the factor of a folded batch norm. Made by passes, on weights alone.

    Cost: 3 operations per channel, once when the weights are loaded.
    """

    word: ClassVar[str] = "bnscale"
    written: ClassVar[bool] = False
    operands: ClassVar[tuple[int, int | None]] = (2, 2)

    eps: float = attr(AttrKind.FLOAT, "added to the variance", default=1e-5)

    def infer(self, inputs: Types) -> Types:
        """`C, C -> C`."""
        require_eps(self.eps)
        if inputs[0] != inputs[1]:
            raise ShapeError("the scale and the variance have different types", 1)
        return inputs[:1]

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """A sum, a root and a quotient."""
        return Cost(0, 3 * outputs[0].elements)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Weights of odd lengths."""
        weight, longer = TensorType((5,), DType.FLOAT32, 0), TensorType((37,), DType.FLOAT32, 0)
        return (Sample("weights", cls(), (weight, weight)), Sample("eps", cls(1e-3), (longer, longer)))


@operator
class LRN(Op):
    """Local response normalisation across channels (Krizhevsky et al. 2012), as `torch.nn.LocalResponseNorm`.

    `x / (offset + alpha / size * sum of x^2 over size channels)^beta`. PyTorch divides alpha by size and calls the
    offset k; the paper's alpha = 1e-4, k = 2 over 5 channels is `lrn 5 alpha=5e-4 offset=2.0`. Cost: `size + 4`
    operations per element.
    """

    word: ClassVar[str] = "lrn"

    size: int = attr(AttrKind.INT, "channels summed over", default=5, positional=True)
    alpha: float = attr(AttrKind.FLOAT, "weight of the mean square", default=1e-4)
    beta: float = attr(AttrKind.FLOAT, "exponent", default=0.75)
    offset: float = attr(AttrKind.FLOAT, "added before the power", default=1.0)

    def infer(self, inputs: Types) -> Types:
        """The operand's own type."""
        require_at_least(1, (self.size,), "the number of channels summed over")
        _require_channels(inputs)
        if inputs[0].rank < 2:
            raise ShapeError("expects a feature map (channels x height x width, or channels x length)", 0)
        return inputs

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """A square and size - 1 sums, then a product, a sum, a power, a quotient."""
        return Cost(0, (self.size + 4) * outputs[0].elements)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Odd and even sizes; the paper's constants, large enough to matter."""
        return (
            Sample("default", cls(), (feature_map(9, 5, 7),)),
            Sample("even", cls(4, alpha=0.5, offset=2.0), (feature_map(9, 5, 7),)),
            Sample("line", cls(3, alpha=0.25, beta=0.5), (feature_map(7, 9),)),
        )


@operator
class LayerNorm(Op):
    """Layer normalisation over one axis (Ba et al. 2016), the last unless said otherwise, as `torch.nn.LayerNorm`.

    `weight * (x - mean) / sqrt(var + eps) + bias`, weights along that axis; `axis=0` normalises over the channels of a
    feature map. Cost: 5 operations per element (sum, difference, square, sum, product), 2 more with weights.
    """

    word: ClassVar[str] = "layernorm"

    axis: int = attr(AttrKind.INT, "axis normalised over", default=-1)
    eps: float = attr(AttrKind.FLOAT, "added to the variance", default=1e-5)
    affine: bool = attr(AttrKind.FLAG, "no learned scale and shift", default=True, flag="noaffine")

    def resolve(self, inputs: Types) -> Op:
        """The axis counted from the front."""
        return replace(self, axis=axis_index(self.axis, inputs[0]))

    def weights(self, inputs: Types) -> tuple[Weight, ...]:
        """`weight` and `bias` along the axis, unless `noaffine`."""
        return _affine(inputs[0].shape[self.axis]) if self.affine else ()

    def infer(self, inputs: Types) -> Types:
        """The operand's own type."""
        require_eps(self.eps)
        require_float(inputs)
        return inputs

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """Mean, variance and normalisation, scale and shift."""
        return Cost(0, (7 if self.affine else 5) * outputs[0].elements)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Tokens, channels and plain."""
        return (
            Sample("tokens", cls(), (TensorType((7, 21)),)),
            Sample("channels", cls(axis=0, eps=1e-6), (feature_map(9, 5, 7),)),
            Sample("plain", cls(affine=False), (vector(37),)),
        )


@operator
class GroupNorm(Op):
    """Group normalisation (Wu & He 2018), as `torch.nn.GroupNorm`: over each group of channels and all positions.

    `g1` normalises over everything, one group a channel is instance normalisation. Cost: 5 operations per element (sum,
    difference, square, sum, product), 2 more with weights.
    """

    word: ClassVar[str] = "groupnorm"

    groups: int = attr(AttrKind.INT, "groups of channels", short="g")
    eps: float = attr(AttrKind.FLOAT, "added to the variance", default=1e-5)
    affine: bool = attr(AttrKind.FLAG, "no learned scale and shift", default=True, flag="noaffine")

    def resolve(self, inputs: Types) -> Op:
        """Nothing is implied, but there must be channels."""
        _require_channels(inputs)
        return self

    def weights(self, inputs: Types) -> tuple[Weight, ...]:
        """`weight` and `bias` of one value per channel, unless `noaffine`."""
        return _affine(inputs[0].shape[0]) if self.affine else ()

    def infer(self, inputs: Types) -> Types:
        """The operand's own type."""
        require_eps(self.eps)
        require_at_least(1, (self.groups,), "the number of groups")
        channels = _require_channels(inputs)
        if channels % self.groups:
            raise ShapeError(f"g{self.groups} does not divide its {channels} channels", 0)
        return inputs

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """Mean, variance and normalisation, scale and shift."""
        return Cost(0, (7 if self.affine else 5) * outputs[0].elements)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Groups, one group, one group a channel; maps, lines and vectors."""
        return (
            Sample("groups", cls(3), (feature_map(9, 5, 7),)),
            Sample("one", cls(1, eps=1e-3), (feature_map(5, 9),)),
            Sample("instance", cls(6, affine=False), (feature_map(6, 5, 7),)),
            Sample("vector", cls(4), (vector(20),)),
        )
