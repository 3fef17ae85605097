"""Recurrent layers: LSTM and GRU, in one direction or both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from netdsl.ir.graph import Value
from netdsl.onnx.read.call import Call
from netdsl.onnx.read.values import BATCH, Array, Known, Unreadable, View
from netdsl.ops.pieces import Concat
from netdsl.ops.recurrent import Gru, Lstm, Recurrent

GATES = {Lstm: (0, 2, 3, 1), Gru: (1, 0, 2)}
"""Where our gates are among ONNX's: i f g o of i o f c, r z n of z r h."""
FUNCTIONS = {Lstm: ("Sigmoid", "Tanh", "Tanh"), Gru: ("Sigmoid", "Tanh")}


def recurrent(kind: type[Recurrent]) -> Callable[[Call], tuple[View, ...]]:
    """A reader of LSTM or GRU, whose weights must be known."""

    def read(call: Call) -> tuple[View, ...]:
        _check(call, kind)
        out = call.known(2).fixed("its weight").shape[2]
        view = call.view(0)
        value = call.net.batch_first(view.transposed((1, 0, 2)))
        word = call.text("direction", "forward")
        ways = (False, True) if word == "bidirectional" else (word == "reverse",)
        before = [_state(call, index, len(ways)) for index in range(5, 5 + kind.states) if call.has(index)]
        given = [state for state in before if state is not None]
        if given and len(given) < kind.states:
            raise Unreadable("only one of its states begins with anything but zeros")
        op = kind(out, initial=bool(given), state=any(call.outputs[1:]))
        found = [
            call.net.add(replace(op, reverse=reverse), value, *given, weights=_weights(call, kind, place))
            for place, reverse in enumerate(ways)
        ]
        batch = () if view.batch_axis is None else (BATCH,)
        sequence = _beside(call, [values[0] for values in found], 1)
        steps, both = (view.per_sample(0), (len(ways), out))
        results = [View(sequence, (steps, *both), ((0,), (1,), batch, (2,)))]
        ends = [_beside(call, list(states), 0) for states in list(zip(*found, strict=True))[1:]]
        return (*results, *(View(end, both, ((0,), batch, (1,))) for end in ends))

    return read


def _check(call: Call, kind: type[Recurrent]) -> None:
    functions = call.attributes.get("activations") or FUNCTIONS[kind]
    if tuple(functions)[: len(FUNCTIONS[kind])] * (len(functions) // len(FUNCTIONS[kind])) != tuple(functions):
        raise Unreadable("its directions differ in their functions")
    if tuple(functions)[: len(FUNCTIONS[kind])] != FUNCTIONS[kind]:
        raise Unreadable(f"its functions are {', '.join(functions)}")
    if call.has(4) or call.has(7) or "clip" in call.attributes or call.whole("input_forget", 0):
        raise Unreadable("it has lengths for each sample, peepholes or bounds")
    if kind is Gru and not call.whole("linear_before_reset", 0):
        raise Unreadable("it resets the state before the product, not after it (`linear_before_reset`)")
    if call.whole("layout", 0):
        raise Unreadable("its batch comes first (`layout`)")


def _weights(call: Call, kind: type[Recurrent], place: int) -> tuple[Known, ...]:
    """`weight_ih`, `weight_hh`, `bias_ih` and `bias_hh` of one direction."""
    into, across = call.known(1).fixed("its weight"), call.known(2).fixed("its weight")
    rows = into.shape[1]
    biases = call.fixed(3, np.zeros((len(into), 2 * rows), np.float32))
    arrays = (into[place], across[place], biases[place, :rows], biases[place, rows:])
    names = [call.known(index).name if call.has(index) else "zeros" for index in (1, 2, 3, 3)]
    return tuple(
        Known(_reordered(array, kind), None, f"{name}.{place}.{number}" if name else "")
        for number, (array, name) in enumerate(zip(arrays, names, strict=True))
    )


def _reordered(array: Array, kind: type[Recurrent]) -> Array:
    parts = np.split(array, kind.gates)
    return np.concatenate([parts[gate] for gate in GATES[kind]])


def _state(call: Call, index: int, ways: int) -> Value | None:
    """A state to begin with; None where it is zeros."""
    operand = call.operand(index)
    if isinstance(operand, Known):
        if not operand.array.any():
            return None
        operand = call.view(index)
    numbers = call.net.weights.get(operand.value.name)
    if numbers is not None and not numbers.any():
        return None
    if ways > 1:
        raise Unreadable("each of its directions begins with a state of its own")
    return call.net.batch_first(replace(operand, axes=operand.axes[1:]))


def _beside(call: Call, values: list[Value], axis: int) -> Value:
    return values[0] if len(values) == 1 else call.net.one(Concat(axis), *values)


READERS: dict[str, Callable[[Call], tuple[View, ...]]] = {"LSTM": recurrent(Lstm), "GRU": recurrent(Gru)}
