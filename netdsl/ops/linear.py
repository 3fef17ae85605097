"""Matrix products."""

from __future__ import annotations

from typing import ClassVar

from netdsl import codes
from netdsl.ops.base import (
    ZEROS,
    AttrKind,
    Cost,
    Op,
    Sample,
    ShapeError,
    Types,
    Weight,
    attr,
    common_batch,
    he_uniform,
    operator,
    require_at_least,
    require_float,
    vector,
)
from netdsl.tensor import TensorType, shape_text


@operator
class Fc(Op):
    """A fully connected layer over the last axis, as `torch.nn.Linear`: `... x features -> ... x out`.

    Weights `out x features`; `fc vocab tied=words` has that of the shared layer `words`, and no bias.
    Cost: `features` multiply-accumulates per output element; a bias adds one operation each.
    """

    word: ClassVar[str] = "fc"
    ties: ClassVar[bool] = True

    out: int = attr(AttrKind.INT, "output features", positional=True)
    bias: bool = attr(AttrKind.FLAG, "no bias", default=True, flag="nobias")

    def weights(self, inputs: Types) -> tuple[Weight, ...]:
        """`weight: out x features` and, unless `nobias`, `bias: out`."""
        features = inputs[0].shape[-1]
        weight = Weight("weight", (self.out, features), he_uniform(features))
        return (weight, Weight("bias", (self.out,), ZEROS)) if self.bias else (weight,)

    def resolve(self, inputs: Types) -> Op:
        """Nothing is implied, but an operand without axes has no features."""
        if not inputs[0].rank:
            raise ShapeError("expects at least one axis, the features", 0)
        return self

    def infer(self, inputs: Types) -> Types:
        """`... x features -> ... x out`."""
        require_float(inputs)
        require_at_least(1, (self.out,), "the number of output features")
        operand = inputs[0]
        return (TensorType((*operand.shape[:-1], self.out), operand.dtype, operand.batch),)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """One multiply-accumulate per weight and row."""
        macs = outputs[0].elements * inputs[0].shape[-1]
        return Cost(macs, 2 * macs + (outputs[0].elements if self.bias else 0))

    def remarks(self, inputs: Types) -> tuple[tuple[str, str], ...]:
        """Feature maps are usually flattened first."""
        if inputs[0].rank == 3 and inputs[0].batch:
            what = f"the width of this {shape_text(inputs[0].shape)} feature map"
            return ((codes.FC_ON_MAP, f"`fc` works on the last axis alone, {what}; `flatten` comes first"),)
        return ()

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Vectors, tokens and maps; sizes around a tile of 16 or 32."""
        return (
            Sample("vector", cls(10), (vector(37),)),
            Sample("nobias", cls(33, bias=False), (vector(65),)),
            Sample("tokens", cls(19), (TensorType((7, 21)),)),
            Sample("tiles", cls(35), (TensorType((37, 41)),)),
            Sample("map", cls(6), (TensorType((3, 5, 7)),)),
        )


@operator
class MatMul(Op):
    """The matrix product of the last two axes, as `torch.matmul`: `M x K, K x N -> M x N`; axes before them agree.

    `transpose_a` and `transpose_b` swap an operand's last two axes first. `matmul(x)` is `it x`. Cost: K
    multiply-accumulates per output element.
    """

    word: ClassVar[str] = "matmul"
    operands: ClassVar[tuple[int, int | None]] = (2, 2)

    transpose_a: bool = attr(AttrKind.FLAG, "swap the first operand's last axes", default=False, flag="transpose_a")
    transpose_b: bool = attr(AttrKind.FLAG, "swap the second operand's last axes", default=False, flag="transpose_b")

    def _matrix(self, operand: TensorType, index: int) -> tuple[int, int]:
        if operand.rank < 2:
            raise ShapeError(f"expects matrices, but this operand is {shape_text(operand.shape)}", index)
        rows, columns = operand.shape[-2:]
        swap = self.transpose_b if index else self.transpose_a
        return (columns, rows) if swap else (rows, columns)

    def infer(self, inputs: Types) -> Types:
        """`... x M x K, ... x K x N -> ... x M x N`."""
        require_float(inputs)
        (rows, inner), (other, columns) = (self._matrix(operand, i) for i, operand in enumerate(inputs))
        a, b = inputs
        if inner != other:
            mend = "`transpose_b` multiplies by its transpose" if inner == columns else None
            raise ShapeError(f"the inner extents differ: {rows}x{inner} times {other}x{columns}", 1, mend)
        if a.shape[:-2] != b.shape[:-2]:
            raise ShapeError(f"the axes before the matrices differ: {shape_text(a.shape)}, {shape_text(b.shape)}", 1)
        return (TensorType((*a.shape[:-2], rows, columns), a.dtype, common_batch(inputs)),)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """K multiply-accumulates per output element."""
        macs = outputs[0].elements * self._matrix(inputs[0], 0)[1]
        return Cost(macs, 2 * macs)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Plain and swapped matrices, a stack of them, and one of the network's own."""
        a, b = TensorType((7, 21)), TensorType((21, 9))
        return (
            Sample("plain", cls(), (a, b)),
            Sample("transpose_a", cls(transpose_a=True), (TensorType((21, 7)), b)),
            Sample("transpose_b", cls(transpose_b=True), (a, TensorType((9, 21)))),
            Sample("stack", cls(), (TensorType((3, 5, 17)), TensorType((3, 17, 4)))),
            Sample("constant", cls(), (a, TensorType((21, 9), batch=0))),
            Sample("tiles", cls(), (TensorType((37, 41)), TensorType((41, 35)))),
        )
