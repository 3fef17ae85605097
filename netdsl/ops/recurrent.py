"""Recurrent layers: one step after another along a sequence."""

from __future__ import annotations

from math import sqrt
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
    common_batch,
    operator,
    require_at_least,
    require_float,
    require_rank,
    vector,
)
from netdsl.tensor import TensorType, shape_text


@operator
class Recurrent(Op):
    """What `lstm` and `gru` share: a matrix of `gates * out` rows for the input, and one for the state before."""

    operands: ClassVar[tuple[int, int | None]] = (1, 3)
    gates: ClassVar[int]
    """Blocks of rows in the weights."""
    states: ClassVar[int]
    """Vectors that go from step to step."""
    operations: ClassVar[int]
    """Besides products and biases, for one step and feature: sums, products, sigmoids (4) and tanh (1)."""

    out: int = attr(AttrKind.INT, "features of the state", positional=True)
    reverse: bool = attr(AttrKind.FLAG, "from the last step to the first", default=False, flag="reverse")
    initial: bool = attr(AttrKind.FLAG, "the state to begin with is given", default=False, flag="initial")
    state: bool = attr(AttrKind.FLAG, "also give the state after the last step", default=False, flag="state")

    def wanted(self) -> tuple[int, int | None]:
        """The sequence, and with `initial` the state before its first step."""
        count = 1 + self.states if self.initial else 1
        return (count, count)

    def resolve(self, inputs: Types) -> Op:
        """Nothing is implied."""
        require_rank(inputs[0], (2,), "a sequence (steps x features)")
        return self

    def weights(self, inputs: Types) -> tuple[Weight, ...]:
        """`weight_ih: gates*out x C`, `weight_hh: gates*out x out`, and a bias for each."""
        rows = self.gates * self.out
        start = Init("uniform", sqrt(1 / max(self.out, 1)))
        return (
            Weight("weight_ih", (rows, inputs[0].shape[1]), start),
            Weight("weight_hh", (rows, self.out), start),
            Weight("bias_ih", (rows,), start),
            Weight("bias_hh", (rows,), start),
        )

    def infer(self, inputs: Types) -> Types:
        """`T x C -> T x out`; with `state`, vectors of `out` after it."""
        require_float(inputs)
        require_at_least(1, (self.out,), "the number of features")
        for index, operand in enumerate(inputs[1:], 1):
            if operand.shape != (self.out,):
                raise ShapeError(f"the state before has {self.out} features, not {shape_text(operand.shape)}", index)
        batch = common_batch(inputs)
        sequence = TensorType((inputs[0].shape[0], self.out), inputs[0].dtype, batch)
        after = TensorType((self.out,), inputs[0].dtype, batch)
        return (sequence, *(after,) * self.states) if self.state else (sequence,)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """Those of a step, times the steps."""
        elements = outputs[0].elements
        macs = elements * self.gates * (inputs[0].shape[1] + self.out)
        return Cost(macs, 2 * macs + elements * (2 * self.gates + self.operations))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Both directions, a given state, the state as a result, and more than a tile."""
        line, states = TensorType((5, 7)), (vector(3),) * cls.states
        return (
            Sample("plain", cls(3), (line,)),
            Sample("reverse", cls(5, reverse=True), (line,)),
            Sample("initial", cls(3, initial=True), (line, *states)),
            Sample("state", cls(3, state=True), (line,)),
            Sample("back_and_forth", cls(3, reverse=True, initial=True, state=True), (line, *states)),
            Sample("tiles", cls(19), (TensorType((3, 21)),)),
        )


class Lstm(Recurrent):
    """Long short-term memory over `T x C` (Hochreiter & Schmidhuber 1997), one layer of `torch.nn.LSTM`: `lstm 512`.

    `T x C -> T x out`, the h of every step: `take index=-1` is the last. For the step's input x,

    `i, f, g, o = weight_ih x + bias_ih + weight_hh h + bias_hh`, `out` rows each;
    `c = sigmoid(f) c + sigmoid(i) tanh(g)`; `h = sigmoid(o) tanh(c)`.

    h and c begin with zeros, or with two operands: `lstm(h, c) 512 initial`. `lstm 512 state as y, h, c` names them as
    they are after the last step. `reverse` runs from the last step to the first; `concat axis=1 { | lstm 256 |
    lstm 256 reverse }` is bidirectional, and `repeat 2 { lstm 512 }` has two layers.

    Cost: `4 out (C + out)` multiply-accumulates a step; for each feature of a step 8 operations for the biases and 22
    for the rest (sigmoids count 4, tanh 1).
    """

    word: ClassVar[str] = "lstm"
    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2
    operations: ClassVar[int] = 22


class Gru(Recurrent):
    """Gated recurrent units over `T x C` (Cho et al. 2014), one layer of `torch.nn.GRU`: `gru 512`.

    `T x C -> T x out`, the h of every step: `take index=-1` is the last. For the step's input x,

    `r, z, n = weight_ih x + bias_ih`, `r', z', n' = weight_hh h + bias_hh`, `out` rows each;
    `z = sigmoid(z + z')`; `h = (1 - z) tanh(n + sigmoid(r + r') n') + z h`.

    h begins with zeros, or with an operand: `gru(h) 512 initial`. `gru 512 state as y, h` names it as it is after the
    last step. `reverse` runs from the last step to the first.

    Cost: `3 out (C + out)` multiply-accumulates a step; for each feature of a step 6 operations for the biases and 17
    for the rest (sigmoids count 4, tanh 1).
    """

    word: ClassVar[str] = "gru"
    gates: ClassVar[int] = 3
    states: ClassVar[int] = 1
    operations: ClassVar[int] = 17


@operator
class Recurrence(Op):
    """What is left of `lstm` and `gru` when the input's products are made: `T x gates*out -> T x out`, step by step.

    Operands: those products with their bias, `weight_hh`, `bias_hh`, and with `initial` the state. An LSTM also gives
    its last c. Made by a pass. Cost: `gates * out * out` multiply-accumulates a step; for each feature of a step
    `gates` operations for the bias, and the rest as `lstm` and `gru` have it.
    """

    word: ClassVar[str] = "recurrence"
    operands: ClassVar[tuple[int, int | None]] = (3, 5)
    written: ClassVar[bool] = False

    cell: str = attr(AttrKind.WORD, "what a step does", positional=True, choices=("lstm", "gru"))
    reverse: bool = attr(AttrKind.FLAG, "from the last step to the first", default=False, flag="reverse")
    initial: bool = attr(AttrKind.FLAG, "the state to begin with is given", default=False, flag="initial")

    @property
    def kind(self) -> type[Recurrent]:
        """The operator that this is a part of."""
        return Lstm if self.cell == "lstm" else Gru

    def wanted(self) -> tuple[int, int | None]:
        """Products, weight and bias, then the state."""
        count = 3 + (self.kind.states if self.initial else 0)
        return (count, count)

    def infer(self, inputs: Types) -> Types:
        """`T x out`, and of an LSTM `out`."""
        require_float(inputs)
        require_rank(inputs[0], (2,), "a sequence (steps x features)")
        steps, rows = inputs[0].shape
        out, rest = divmod(rows, self.kind.gates)
        wanted = ((rows, out), (rows,), *((out,),) * (len(inputs) - 3))
        if rest or tuple(operand.shape for operand in inputs[1:]) != wanted:
            raise ShapeError(f"expects {self.kind.gates} gates of equal size, and weights and state that fit them")
        batch = common_batch((inputs[0], *inputs[3:]))
        sequence = TensorType((steps, out), inputs[0].dtype, batch)
        return (sequence, sequence._replace(shape=(out,))) if self.cell == "lstm" else (sequence,)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """One multiply-accumulate per weight and step."""
        elements = outputs[0].elements
        macs = elements * self.kind.gates * outputs[0].shape[1]
        return Cost(macs, 2 * macs + elements * (self.kind.gates + self.kind.operations))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Both cells, both directions, zeros or a state to begin with."""

        def types(gates: int, out: int) -> Types:
            weights = (TensorType((gates * out, out), batch=0), TensorType((gates * out,), batch=0))
            return (TensorType((5, gates * out)), *weights)

        state = vector(3)
        return (
            Sample("lstm", cls("lstm"), types(4, 3)),
            Sample("lstm_reverse", cls("lstm", reverse=True, initial=True), (*types(4, 3), state, state)),
            Sample("gru", cls("gru"), types(3, 5)),
            Sample("gru_reverse", cls("gru", reverse=True, initial=True), (*types(3, 3), state)),
            Sample("tiles", cls("lstm"), types(4, 19)),
        )
