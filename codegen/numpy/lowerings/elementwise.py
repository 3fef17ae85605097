"""Elementwise operators: standing alone, or in the tail of the operator before them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

from netdsl.codegen.numpy.calls import RESULT, Call, Elementwise, Operand, Step
from netdsl.codegen.numpy.storage import View, aligned, channel_step, stored
from netdsl.ir.graph import Value
from netdsl.ops import activation, elementwise, function, noise
from netdsl.ops.base import Op
from netdsl.tensor import Layout, TensorType

X = Operand(0)

SELU_ALPHA: float = 1.6732632423543772
SELU_SCALE: float = 1.0507009873554805
"""Klambauer et al. 2017 (arXiv:1706.02515)."""


@dataclass(frozen=True)
class Epsilon:
    """What keeps a denominator from zero."""

    eps: float


@dataclass(frozen=True)
class Exponential:
    """The negative side of an exponential linear unit, and the factor on both sides."""

    alpha: float
    scale: float


LARGE = 1 << 15
"""Elements whose sharing pays for waking a thread."""
FUNCTIONS = {"atan": "np.arctan", "erf": "error_function", "round": "np.rint"}
RELATIONS = {
    "equal": "np.equal",
    "unequal": "np.not_equal",
    "less": "np.less",
    "atmost": "np.less_equal",
    "greater": "np.greater",
    "atleast": "np.greater_equal",
}
"""Functions and relations by NumPy's names, where they are others."""


def _unary(function: str, *arguments: float) -> Callable[[Any], tuple[Step, ...]]:
    steps = (Step(function, (X, *arguments)),)
    return lambda op: steps


def _joined(function: str) -> Callable[[Any, int], tuple[Step, ...]]:
    def steps(op: Any, count: int) -> tuple[Step, ...]:
        start = Step(function, (X, Operand(1)))
        return (start, *(Step(function, (RESULT, Operand(i))) for i in range(2, count)))

    return steps


UNARY: dict[type[Op], Callable[[Any], tuple[Step, ...]]] = {
    activation.Relu: _unary("np.clip", 0, inf),  # NumPy's loop of `maximum` with a number takes three times as long
    activation.Relu6: _unary("np.clip", 0, 6),
    activation.LeakyRelu: lambda op: (Step("leaky_relu", (X, op.slope)),),
    activation.Elu: lambda op: (Step("elu", (X,), Exponential(op.alpha, 1.0)),),
    activation.Selu: lambda op: (Step("elu", (X,), Exponential(SELU_ALPHA, SELU_SCALE)),),
    activation.Gelu: lambda op: (Step("gelu_tanh" if op.tanh else "gelu", (X,)),),
    activation.Silu: _unary("silu"),
    activation.HardSwish: _unary("hard_swish"),
    activation.HardSigmoid: _unary("hard_sigmoid"),
    activation.Sigmoid: _unary("sigmoid"),
    activation.Tanh: _unary("np.tanh"),
    activation.Softplus: _unary("np.logaddexp", 0),
    activation.Abs: _unary("np.abs"),
    activation.Exp: _unary("np.exp"),
    activation.Log: _unary("np.log"),
    activation.Sqrt: _unary("np.sqrt"),
    activation.Clamp: lambda op: (Step("np.clip", (X, op.low, op.high)),),
    function.Apply: lambda op: (Step(FUNCTIONS.get(op.function, f"np.{op.function}"), (X,)),),
    elementwise.Scale: lambda op: (Step("np.multiply", (X, op.factor)),),
    elementwise.Shift: lambda op: (Step("np.add", (X, op.amount)),),
    noise.Dropout: _unary("np.positive"),
    noise.DropPath: _unary("np.positive"),
}
"""Operators of one operand: their steps."""

JOINED: dict[type[Op], Callable[[Any, int], tuple[Step, ...]]] = {
    elementwise.Add: _joined("np.add"),
    elementwise.Mul: _joined("np.multiply"),
    elementwise.Maximum: _joined("np.maximum"),
    elementwise.Minimum: _joined("np.minimum"),
    elementwise.Sub: _joined("np.subtract"),
    function.Power: _joined("np.power"),
    function.Compare: lambda op, count: (Step(RELATIONS[op.relation], (X, Operand(1))),),
    function.Select: lambda op, count: (Step("select", (X, Operand(1), Operand(2))),),
    elementwise.Div: lambda op, count: (
        (Step("divide", (X, Operand(1)), Epsilon(op.eps)) if op.eps else Step("np.divide", (X, Operand(1)))),
    ),
}
"""Operators of several operands: their steps, given the number."""


def is_shared_out(result: TensorType) -> bool:
    """Whether a map is so large that threads gain by sharing its elementwise operators."""
    return result.rank == 3 and result.batch > 0 and result.size >= LARGE and result.dtype.is_float


def shared_out(result: Value) -> Call:
    """The kernel of such a chain; the chain is its tail."""
    return Call("elementwise", (), (stored(result),), crew=True, tailed=True)


def steps_of(op: Op, inputs: tuple[Value, ...], rank: int, layout: Layout) -> Elementwise | None:
    """An elementwise operator as steps on a result of this rank, seen in this order; None for any other operator.

    `inputs` are the operands, then the weights.
    """
    if type(op) in UNARY:
        steps = UNARY[type(op)](op)
    elif type(op) in JOINED:
        steps = JOINED[type(op)](op, len(inputs))
    elif isinstance(op, activation.PRelu):
        slope = View(inputs[1]).then(channel_step(rank, layout) if inputs[1].type.size > 1 else "")
        views = (aligned(inputs[0], rank, layout), slope)
        return Elementwise((Step("leaky_relu", (X, Operand(1))),), views, ("slope",))
    else:
        return None
    return Elementwise(steps, tuple([aligned(value, rank, layout) for value in inputs]))
