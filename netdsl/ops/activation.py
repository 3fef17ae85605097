"""Functions of single elements, and softmax over an axis."""

from __future__ import annotations

from dataclasses import replace
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
    axis_index,
    feature_map,
    operator,
    require_float,
    vector,
)


class Elementwise(Op):
    """A function of each element alone. Cost: `operations` for each element, no multiply-accumulates."""

    operations: ClassVar[int]
    """Arithmetic operations, comparisons and elementary functions (exp, log, sqrt, erf, tanh) for one element."""

    def infer(self, inputs: Types) -> Types:
        """The operand's own type."""
        require_float(inputs)
        return inputs

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """A fixed number of operations for each element."""
        return Cost(0, self.operations * outputs[0].elements)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Feature maps, one of them of more than a thousand elements, and a vector."""
        return (
            Sample("map", cls(), (feature_map(5, 7, 9),)),
            Sample("tiles", cls(), (feature_map(5, 17, 19),)),
            Sample("vector", cls(), (vector(37),)),
        )


class Relu(Elementwise):
    """`max(x, 0)`, as `torch.nn.ReLU`. Cost: 1 operation per element."""

    word: ClassVar[str] = "relu"
    operations: ClassVar[int] = 1


class Relu6(Elementwise):
    """`min(max(x, 0), 6)`, as `torch.nn.ReLU6`. Cost: 2 operations per element."""

    word: ClassVar[str] = "relu6"
    operations: ClassVar[int] = 2


@operator
class LeakyRelu(Elementwise):
    """`x` where positive, else `slope * x`, as `torch.nn.LeakyReLU`. Cost: 2 operations per element."""

    word: ClassVar[str] = "leakyrelu"
    operations: ClassVar[int] = 2

    slope: float = attr(AttrKind.FLOAT, "slope below zero", default=0.01, positional=True)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """The default slope and another."""
        return (*super().samples(), Sample("slope", cls(0.2), (feature_map(3, 5, 5),)))


@operator
class PRelu(Op):
    """`x` where positive, else `weight * x` with a learned weight per channel (He et al. 2015), as `torch.nn.PReLU`.

    `single` learns one weight for all channels. Weights start at 0.25. Cost: 2 operations per element.
    """

    word: ClassVar[str] = "prelu"

    single: bool = attr(AttrKind.FLAG, "one weight for all channels", default=False, flag="single")

    def weights(self, inputs: Types) -> tuple[Weight, ...]:
        """`weight`: one per channel (axis 0), or one in all."""
        return (Weight("weight", (1,) if self.single else inputs[0].shape[:1], Init("constant", 0.25)),)

    def infer(self, inputs: Types) -> Types:
        """The operand's own type."""
        require_float(inputs)
        if not inputs[0].rank:
            raise ShapeError("expects at least one axis, the channels", 0)
        return inputs

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """A comparison and a product per element."""
        return Cost(0, 2 * outputs[0].elements)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Per channel and single, on maps and vectors."""
        return (
            Sample("channels", cls(), (feature_map(5, 7, 9),)),
            Sample("single", cls(single=True), (feature_map(5, 7, 9),)),
            Sample("vector", cls(), (vector(17),)),
        )


@operator
class Elu(Elementwise):
    """`x` where positive, else `alpha * (exp(x) - 1)`, as `torch.nn.ELU`. Cost: 4 operations per element."""

    word: ClassVar[str] = "elu"
    operations: ClassVar[int] = 4

    alpha: float = attr(AttrKind.FLOAT, "limit below zero", default=1.0, positional=True)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """The default and another limit."""
        return (*super().samples(), Sample("alpha", cls(0.5), (feature_map(3, 5, 5),)))


class Selu(Elementwise):
    """Scaled ELU with self-normalising constants (Klambauer et al. 2017), as `torch.nn.SELU`. Cost: 5 per element."""

    word: ClassVar[str] = "selu"
    operations: ClassVar[int] = 5


@operator
class Gelu(Elementwise):
    """`x * Phi(x)` with the normal distribution function, as `torch.nn.GELU` (Hendrycks & Gimpel 2016).

    `0.5 x (1 + erf(x / sqrt(2)))`; `tanh` takes the approximation `0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`.
    Cost: 5 operations per element, 9 with `tanh`.
    """

    word: ClassVar[str] = "gelu"

    tanh: bool = attr(AttrKind.FLAG, "the approximation by tanh", default=False, flag="tanh")

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """The operations of either formula."""
        return Cost(0, (9 if self.tanh else 5) * outputs[0].elements)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Exact and approximate."""
        return (*super().samples(), Sample("tanh", cls(tanh=True), (feature_map(3, 5, 5),)))


class Silu(Elementwise):
    """`x * sigmoid(x)`, also called swish, as `torch.nn.SiLU`. Cost: 5 operations per element."""

    word: ClassVar[str] = "silu"
    operations: ClassVar[int] = 5


class HardSwish(Elementwise):
    """`x * min(max(x + 3, 0), 6) / 6`, as `torch.nn.Hardswish` (Howard et al. 2019). Cost: 5 operations per element."""

    word: ClassVar[str] = "hardswish"
    operations: ClassVar[int] = 5


class HardSigmoid(Elementwise):
    """`min(max(x + 3, 0), 6) / 6`, as `torch.nn.Hardsigmoid`. Cost: 4 operations per element."""

    word: ClassVar[str] = "hardsigmoid"
    operations: ClassVar[int] = 4


class Sigmoid(Elementwise):
    """`1 / (1 + exp(-x))`, as `torch.nn.Sigmoid`. Cost: 4 operations per element."""

    word: ClassVar[str] = "sigmoid"
    operations: ClassVar[int] = 4


class Tanh(Elementwise):
    """`tanh(x)`, as `torch.nn.Tanh`. Cost: 1 operation per element."""

    word: ClassVar[str] = "tanh"
    operations: ClassVar[int] = 1


class Softplus(Elementwise):
    """`log(1 + exp(x))`, and `x` above 20, as `torch.nn.Softplus`. Cost: 3 operations per element."""

    word: ClassVar[str] = "softplus"
    operations: ClassVar[int] = 3


class Abs(Elementwise):
    """`|x|`, as `torch.abs`. Cost: 1 operation per element."""

    word: ClassVar[str] = "abs"
    operations: ClassVar[int] = 1


class Exp(Elementwise):
    """`exp(x)`, as `torch.exp`. Cost: 1 operation per element."""

    word: ClassVar[str] = "exp"
    operations: ClassVar[int] = 1


class Log(Elementwise):
    """`log(x)`, as `torch.log`. Cost: 1 operation per element."""

    word: ClassVar[str] = "log"
    operations: ClassVar[int] = 1


class Sqrt(Elementwise):
    """`sqrt(x)`, as `torch.sqrt`. Cost: 1 operation per element."""

    word: ClassVar[str] = "sqrt"
    operations: ClassVar[int] = 1


@operator
class Clamp(Elementwise):
    """`min(max(x, low), high)`, as `torch.clamp`. Cost: 2 operations per element."""

    word: ClassVar[str] = "clamp"
    operations: ClassVar[int] = 2

    low: float = attr(AttrKind.FLOAT, "lower bound", positional=True)
    high: float = attr(AttrKind.FLOAT, "upper bound", positional=True)

    def infer(self, inputs: Types) -> Types:
        """The operand's own type."""
        if self.low > self.high:
            raise ShapeError(f"the lower bound {self.low} is above the upper bound {self.high}")
        return super().infer(inputs)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Bounds around zero."""
        return (Sample("map", cls(-0.5, 0.75), (feature_map(5, 7, 9),)),)


@operator
class Softmax(Op):
    """`exp(x) / sum(exp(x))` over one axis (the last unless said otherwise), as `torch.nn.Softmax`.

    Cost: 5 operations per element (maximum, difference, exponential, sum, quotient).
    """

    word: ClassVar[str] = "softmax"

    axis: int = attr(AttrKind.INT, "axis that sums to one", default=-1)

    def resolve(self, inputs: Types) -> Op:
        """The axis counted from the front."""
        return replace(self, axis=axis_index(self.axis, inputs[0]))

    def infer(self, inputs: Types) -> Types:
        """The operand's own type."""
        require_float(inputs)
        return inputs

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """Five passes over the elements."""
        return Cost(0, 5 * outputs[0].elements)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Every axis."""
        return (
            Sample("vector", cls(), (vector(37),)),
            Sample("channels", cls(axis=0), (feature_map(5, 7, 9),)),
            Sample("columns", cls(), (feature_map(3, 5, 11),)),
            Sample("tiles", cls(), (feature_map(13, 131),)),
            Sample("rows", cls(axis=1), (feature_map(3, 5, 11),)),
        )


class LogSoftmax(Softmax):
    """`x - log(sum(exp(x)))` over one axis (the last unless said otherwise), as `torch.nn.LogSoftmax`.

    Cost: 5 operations per element (maximum, difference, exponential, sum, difference).
    """

    word: ClassVar[str] = "logsoftmax"
