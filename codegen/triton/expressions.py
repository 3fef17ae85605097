"""Elementwise operators as expressions of the generated code, on float32 tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netdsl.codegen.prelude import extents
from netdsl.codegen.render import literal
from netdsl.codegen.triton.index import atom
from netdsl.ops import activation as act
from netdsl.ops import elementwise as join
from netdsl.ops import function as fn
from netdsl.ops.base import Op
from netdsl.ops.noise import Dropout, DropPath
from netdsl.ops.norm import BatchNorm, BatchNormScale
from netdsl.ops.pieces import Concat, Slice
from netdsl.ops.reduce import Sum
from netdsl.ops.sequence import SineTable
from netdsl.ops.shape import Relayout, Reshape, Transpose

Arguments = Sequence[str]

SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def expression(op: Op, arguments: Arguments) -> str:
    """The value of an elementwise operator from those of its operands and weights, which are atoms."""
    return EXPRESSIONS[type(op)](op, arguments)


def helpers(text: str) -> tuple[str, ...]:
    """The helper functions (`helpers.py.j2`) that a text calls, in the order of their definition."""
    return tuple(name for name in HELPERS if f"{name}(" in text)


HELPERS = (
    "maximum",
    "minimum",
    "clamp",
    "expm1",
    "log1p",
    "tanh",
    "nearest",
    "atan",
    "rounded",
    "power",
    "multiply",
    "with_next",
    "largest_of_rows",
)
"""Functions that Triton lacks, or whose own forms lose NaN or small arguments."""


def _number(value: float) -> str:
    return literal(float(value))


def _chain(symbol: str) -> Callable[[Op, Arguments], str]:
    return lambda op, x: f" {symbol} ".join(x)


def _nest(function: str) -> Callable[[Op, Arguments], str]:
    def nested(op: Op, x: Arguments) -> str:
        text = x[0]
        for other in x[1:]:
            text = f"{function}({text}, {other})"
        return text

    return nested


def _call(function: str) -> Callable[[Op, Arguments], str]:
    return lambda op, x: f"{function}({x[0]})"


def _clamp(op: act.Clamp, x: Arguments) -> str:
    return f"clamp({x[0]}, {_number(op.low)}, {_number(op.high)})"


def _leaky(op: act.LeakyRelu, x: Arguments) -> str:
    return f"tl.where({x[0]} > 0.0, {x[0]}, {x[0]} * {_number(op.slope)})"


def _prelu(op: act.PRelu, x: Arguments) -> str:
    return f"tl.where({x[0]} > 0.0, {x[0]}, {x[0]} * {x[1]})"


def _elu(op: act.Elu, x: Arguments) -> str:
    return f"tl.where({x[0]} > 0.0, {x[0]}, expm1({x[0]}) * {_number(op.alpha)})"


def _selu(op: act.Selu, x: Arguments) -> str:
    negative = f"expm1({x[0]}) * {_number(SELU_ALPHA * SELU_SCALE)}"
    return f"tl.where({x[0]} > 0.0, {x[0]} * {_number(SELU_SCALE)}, {negative})"


def _gelu(op: act.Gelu, x: Arguments) -> str:
    v = x[0]
    if op.tanh:
        return f"0.5 * {v} * (1.0 + tanh(0.7978845608028654 * ({v} + 0.044715 * {v} * {v} * {v})))"
    return f"0.5 * {v} * (1.0 + tl.erf({v} * 0.7071067811865476))"


def _hard_sigmoid(op: act.HardSigmoid, x: Arguments) -> str:
    return f"clamp({x[0]} + 3.0, 0.0, 6.0) / 6.0"


def _hard_swish(op: act.HardSwish, x: Arguments) -> str:
    return f"{x[0]} * clamp({x[0]} + 3.0, 0.0, 6.0) / 6.0"


def _softplus(op: act.Softplus, x: Arguments) -> str:
    return f"maximum({x[0]}, 0.0) + log1p(tl.exp(-tl.abs({x[0]})))"


def _batch_norm(op: BatchNorm, x: Arguments) -> str:
    *affine, mean, variance = x[1:]
    text = f"({x[0]} - {mean}) / tl.sqrt_rn({variance} + {_number(op.eps)})"
    return f"{text} * {affine[0]} + {affine[1]}" if affine else text


def _div(op: join.Div, x: Arguments) -> str:
    return f"{x[0]} / ({x[1]} + {_number(op.eps)})" if op.eps else f"{x[0]} / {x[1]}"


def _scale(op: join.Scale, x: Arguments) -> str:
    return f"{x[0]} * {_number(op.factor)}"


def _shift(op: join.Shift, x: Arguments) -> str:
    return f"{x[0]} + {_number(op.amount)}"


FUNCTIONS = {
    "sin": "tl.sin({0})",
    "cos": "tl.cos({0})",
    "atan": "atan({0})",
    "erf": "tl.erf({0})",
    "floor": "tl.floor({0})",
    "ceil": "tl.ceil({0})",
    "round": "rounded({0})",
    "trunc": "tl.where({0} < 0.0, tl.ceil({0}), tl.floor({0}))",
    "sign": "tl.where({0} > 0.0, 1.0, tl.where({0} < 0.0, -1.0, {0}))",
}
RELATIONS = {"equal": "==", "unequal": "!=", "less": "<", "atmost": "<=", "greater": ">", "atleast": ">="}


def _compare(op: fn.Compare, x: Arguments) -> str:
    return f"tl.where({x[0]} {RELATIONS[op.relation]} {x[1]}, 1.0, 0.0)"


def _same(op: Op, x: Arguments) -> str:
    return x[0]


EXPRESSIONS: dict[type[Op], Callable[..., str]] = {
    act.Relu: lambda op, x: f"maximum({x[0]}, 0.0)",
    act.Relu6: lambda op, x: f"clamp({x[0]}, 0.0, 6.0)",
    act.LeakyRelu: _leaky,
    act.PRelu: _prelu,
    act.Elu: _elu,
    act.Selu: _selu,
    act.Gelu: _gelu,
    act.Silu: lambda op, x: f"{x[0]} * tl.sigmoid({x[0]})",
    act.HardSwish: _hard_swish,
    act.HardSigmoid: _hard_sigmoid,
    act.Sigmoid: _call("tl.sigmoid"),
    act.Tanh: _call("tanh"),
    act.Softplus: _softplus,
    act.Abs: _call("tl.abs"),
    act.Exp: _call("tl.exp"),
    act.Log: _call("tl.log"),
    act.Sqrt: _call("tl.sqrt_rn"),
    act.Clamp: _clamp,
    join.Add: _chain("+"),
    join.Mul: _chain("*"),
    join.Sub: _chain("-"),
    join.Div: _div,
    join.Maximum: _nest("maximum"),
    join.Minimum: _nest("minimum"),
    join.Scale: _scale,
    join.Shift: _shift,
    fn.Apply: lambda op, x: FUNCTIONS[op.function].format(x[0]),
    fn.Power: lambda op, x: f"power({x[0]}, {x[1]})",
    fn.Compare: _compare,
    fn.Select: lambda op, x: f"tl.where({x[0]} != 0.0, {x[1]}, {x[2]})",
    BatchNorm: _batch_norm,
    BatchNormScale: lambda op, x: f"{x[0]} / tl.sqrt_rn({x[1]} + {_number(op.eps)})",
    Dropout: _same,
    DropPath: _same,
    Relayout: _same,
}


Constants = Sequence[str]


def constant_expression(op: Op, arguments: Constants) -> str | None:
    """What a prelude node computes, as a PyTorch expression on float32 tensors; None where there is no such form."""
    rule = CONSTANT.get(type(op))
    return rule(op, [atom(argument) for argument in arguments]) if rule else None


def _transpose(op: Transpose, x: Constants) -> str:
    return f"{x[0]}.permute({', '.join(map(str, op.order))})"


CONSTANT: dict[type[Op], Callable[..., str]] = {
    BatchNormScale: lambda op, x: f"{x[0]} / torch.sqrt({x[1]} + {_number(op.eps)})",
    act.Sqrt: lambda op, x: f"torch.sqrt({x[0]})",
    join.Add: _chain("+"),
    join.Mul: _chain("*"),
    join.Sub: _chain("-"),
    join.Div: _div,
    join.Scale: _scale,
    join.Shift: _shift,
    Sum: lambda op, x: f"{x[0]}.sum({literal(op.axis)})",
    Reshape: lambda op, x: f"{x[0]}.reshape({', '.join(extents(op.to))})",
    Transpose: _transpose,
    SineTable: lambda op, x: f"sine_table({op.length}, {op.features}, {op.halves})",
    Slice: lambda op, x: f"{x[0]}[{':, ' * op.axis}{op.start}:{op.stop}:{op.step}]",
    Concat: lambda op, x: f"torch.cat([{', '.join(x)}], {op.axis})",
    Relayout: _same,
}
