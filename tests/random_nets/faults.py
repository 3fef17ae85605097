"""One fault or more for each operator: its lowering takes it for another, or reads its operand wrongly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from netdsl.codegen.numpy.calls import Call
from netdsl.codegen.numpy.storage import View
from netdsl.ir.graph import Node
from netdsl.ops import (
    activation,
    attention,
    choice,
    conv,
    each,
    elementwise,
    function,
    linear,
    maps,
    noise,
    norm,
    pieces,
    pool,
    recurrent,
    reduce,
    regions,
    sequence,
    shape,
    style,
)
from netdsl.ops.base import Op

Calls = Call | tuple[Call, ...]
Lowering = Callable[[Any, Node], Calls]
Fault = Callable[[Any, tuple[int, ...]], Op]
"""The operator, and the shape of its first operand, to an operator that it is not."""


def fields(**changes: Callable[[Any], Any]) -> Fault:
    """The same operator with some attributes changed."""
    return lambda op, x: replace(op, **{name: change(getattr(op, name)) for name, change in changes.items()})


def other(make: Callable[[Any], Op]) -> Fault:
    return lambda op, x: make(op)


def off_by_one(op: Any, x: tuple[int, ...]) -> Op:
    """A padding that starts one element late, and ends one later."""
    rank = len(op.padding) // 2
    starts, ends = list(op.padding[:rank]), list(op.padding[rank:])
    axis = next((axis for axis in range(rank) if starts[axis]), None)
    if axis is None:
        return op  # type: ignore[no-any-return]
    starts[axis], ends[axis] = starts[axis] - 1, ends[axis] + 1
    return replace(op, padding=(*starts, *ends))  # type: ignore[no-any-return]


def next_axis(op: Any, x: tuple[int, ...]) -> Op:
    return replace(op, axis=(op.axis + 1) % len(x))  # type: ignore[no-any-return]


def earlier(op: pieces.Slice, x: tuple[int, ...]) -> Op:
    return replace(op, start=op.start - 1, stop=op.stop - 1) if op.start else op


NEXT = (*function.FUNCTIONS[1:], function.FUNCTIONS[0])

TAKEN_FOR: dict[type[Op], dict[str, Fault]] = {
    conv.Conv: {"padding off by one": off_by_one},
    conv.UpConv: {"padding off by one": off_by_one},
    pool.Pool: {
        "padding off by one": off_by_one,
        "another function": fields(function={"max": "avg", "min": "max", "avg": "min"}.get),
        "padding counted": fields(count_pad=lambda count: not count),
    },
    pool.AdaptivePool: {"another function": fields(function={"max": "avg", "min": "max", "avg": "min"}.get)},
    attention.Attend: {
        "another scale": fields(scaled=lambda scaled: not scaled),
        "later places seen": fields(causal=lambda causal: not causal),
    },
    recurrent.Recurrence: {"the other direction": fields(reverse=lambda reverse: not reverse)},
    style.Blur: {
        "padding off by one": off_by_one,
        "taps from the end": fields(taps=lambda taps: taps[::-1]),
    },
    sequence.Position: {"the other order": fields(halves=lambda halves: not halves)},
    sequence.SineTable: {"the other order": fields(halves=lambda halves: not halves)},
    norm.BatchNorm: {"another eps": fields(eps=lambda eps: eps + 1e-6)},
    norm.BatchNormScale: {"another eps": fields(eps=lambda eps: eps + 1e-6)},
    norm.LRN: {
        "one channel more": fields(size=lambda size: size + 1),
        "alpha not divided by the size": lambda op, x: replace(op, alpha=op.alpha * op.size),
        "another beta": fields(beta=lambda beta: beta + 1e-3),
        "another offset": fields(offset=lambda offset: offset + 1e-3),
    },
    norm.LayerNorm: {"another eps": fields(eps=lambda eps: eps + 1e-6)},
    norm.GroupNorm: {"another eps": fields(eps=lambda eps: eps + 1e-6), "one group": fields(groups=lambda groups: 1)},
    activation.Relu: {"leaky": other(lambda op: activation.LeakyRelu())},
    activation.Relu6: {"negative too": other(lambda op: activation.Clamp(-6.0, 6.0))},
    activation.LeakyRelu: {"another slope": fields(slope=lambda slope: slope + 1e-3)},
    activation.PRelu: {"its first weight forgotten": other(lambda op: activation.LeakyRelu(0.25))},
    activation.Elu: {"another alpha": fields(alpha=lambda alpha: alpha + 1e-3)},
    activation.Selu: {"without its scale": other(lambda op: activation.Elu(1.6732632423543772))},
    activation.Gelu: {"the other formula": fields(tanh=lambda tanh: not tanh)},
    activation.Silu: {"hard": other(lambda op: activation.HardSwish())},
    activation.HardSwish: {"soft": other(lambda op: activation.Silu())},
    activation.HardSigmoid: {"soft": other(lambda op: activation.Sigmoid())},
    activation.Sigmoid: {"hard": other(lambda op: activation.HardSigmoid())},
    activation.Tanh: {"hard": other(lambda op: activation.Clamp(-1.0, 1.0))},
    activation.Softplus: {"hard": other(lambda op: activation.Relu())},
    activation.Abs: {"rectified": other(lambda op: activation.Relu())},
    activation.Exp: {"softplus": other(lambda op: activation.Softplus())},
    activation.Log: {"root": other(lambda op: activation.Sqrt())},
    activation.Sqrt: {"logarithm": other(lambda op: activation.Log())},
    activation.Clamp: {
        "another bound": fields(high=lambda high: high + 1e-3),
        "no bound": fields(low=lambda low: -1e9),
    },
    activation.Softmax: {"another axis": next_axis},
    activation.LogSoftmax: {
        "another axis": next_axis,
        "without its logarithm": other(lambda op: activation.Softmax(op.axis)),
    },
    noise.Dropout: {"as in training": other(lambda op: elementwise.Scale(1 - op.p))},
    noise.DropPath: {"as in training": other(lambda op: elementwise.Scale(1 - op.p))},
    elementwise.Add: {"largest": other(lambda op: elementwise.Maximum())},
    elementwise.Mul: {"sum": other(lambda op: elementwise.Add())},
    elementwise.Sub: {"sum": other(lambda op: elementwise.Add())},
    elementwise.Div: {
        "product": other(lambda op: elementwise.Mul()),
        "another eps": fields(eps=lambda eps: eps and eps + 1e-3),
    },
    elementwise.Maximum: {"smallest": other(lambda op: elementwise.Minimum())},
    elementwise.Minimum: {"largest": other(lambda op: elementwise.Maximum())},
    elementwise.Scale: {"another factor": fields(factor=lambda factor: factor + 1e-3)},
    elementwise.Shift: {"another amount": fields(amount=lambda amount: amount + 1e-3)},
    function.Apply: {
        "another function": lambda op, x: replace(op, function=NEXT[function.FUNCTIONS.index(op.function)]),
    },
    function.Power: {"product": other(lambda op: elementwise.Mul())},
    function.Compare: {
        "another relation": lambda op, x: replace(op, relation={"less": "greater"}.get(op.relation, "less")),
    },
    function.Select: {"sum": other(lambda op: elementwise.Add())},
    reduce.Product: {"sum": other(lambda op: reduce.Sum(op.axis, op.keep))},
    reduce.Mean: {"not divided": other(lambda op: reduce.Sum(op.axis, op.keep))},
    reduce.Sum: {"divided": other(lambda op: reduce.Mean(op.axis, op.keep))},
    reduce.Largest: {"smallest": other(lambda op: reduce.Smallest(op.axis, op.keep))},
    reduce.Smallest: {"largest": other(lambda op: reduce.Largest(op.axis, op.keep))},
    choice.Nms: {"another overlap": fields(iou=lambda iou: iou / 3), "any score": fields(least=lambda least: -1e9)},
    regions.RoiPool: {"another scale": fields(scale=lambda scale: 1.5 * scale)},
    regions.RoiAlign: {
        "another scale": fields(scale=lambda scale: scale + 1e-2),
        "fewer points": fields(points=lambda points: points - 1 or 2),
        "not shifted": fields(aligned=lambda aligned: not aligned),
    },
    maps.Pad: {
        "padding off by one": off_by_one,
        "another value": fields(value=lambda value: value + 0.5),
        "the edge, not its mirror": fields(mode=lambda mode: "replicate" if mode == "reflect" else mode),
        "a mirror, not the edge": fields(mode=lambda mode: "reflect" if mode == "replicate" else mode),
    },
    maps.Crop: {"padding off by one": off_by_one},
    pieces.Slice: {"one element early": earlier},
    pieces.Take: {"the next element": lambda op, x: replace(op, index=(op.index + 1) % x[op.axis])},
    maps.Upsample: {
        "corners": fields(corners=lambda corners: not corners),
        "another mode": lambda op, x: replace(op, mode="bilinear" if op.mode == "nearest" else "nearest"),
    },
    maps.Shuffle: {"the way back": lambda op, x: replace(op, groups=x[0] // op.groups)},
}
"""What the lowering takes the operator for."""


def reads(step: str, place: int = 0) -> Callable[[Lowering], Lowering]:
    """A lowering whose kernels read an argument with one more step: `[:, ::-1]`, from the end of an axis."""

    def read(call: Call) -> Call:
        arguments = list(call.arguments)
        argument = arguments[place]
        if isinstance(argument, tuple):
            arguments[place] = tuple(view.then(step) for view in argument)
        else:
            assert isinstance(argument, View)
            arguments[place] = argument.then(step)
        return replace(call, arguments=tuple(arguments))

    def plant(lowering: Lowering) -> Lowering:
        def faulty(op: Any, node: Node) -> Calls:
            calls = lowering(op, node)
            return tuple(map(read, calls)) if isinstance(calls, tuple) else read(calls)

        return faulty

    return plant


def other_order(lowering: Lowering) -> Lowering:
    return lambda op, node: lowering(op, replace(node, inputs=node.inputs[::-1]))


READ: dict[type[Op], dict[str, Callable[[Lowering], Lowering]]] = {
    conv.Conv: {"last channel first": reads("[..., ::-1]")},
    conv.UpConv: {"last channel first": reads("[..., ::-1]")},
    linear.Fc: {"last feature first": reads("[..., ::-1]")},
    sequence.Embed: {"another index": reads("[..., ::-1]"), "last feature first": reads("[:, ::-1]", 1)},
    linear.MatMul: {"last column first": reads("[..., ::-1]")},
    pool.Unpool: {"places of another channel": reads("[..., ::-1]", 1), "another channel": reads("[..., ::-1]")},
    shape.Flatten: {"last channel first": reads("[:, ::-1]")},
    shape.Reshape: {"last element first": reads("[:, ::-1]")},
    shape.Transpose: {"last element first": reads("[:, ::-1]")},
    shape.Tokens: {"last position first": reads("[:, ::-1]")},
    shape.Relayout: {"last element first": reads("[:, ::-1]")},
    choice.Gather: {"last row first": reads("[:, ::-1]")},
    choice.TopK: {"last element first": reads("[..., ::-1]")},
    each.Each: {"last row first": reads("[:, ::-1]")},
    each.Regroup: {"last row first": reads("[::-1]")},
    pieces.Concat: {"from the end": other_order},
    pieces.Split: {"another sample": reads("[::-1]"), "last element first": reads("[..., ::-1]")},
    maps.PixelShuffle: {"last row first": reads("[:, ::-1]")},
}
"""How the lowering reads what it should not."""
