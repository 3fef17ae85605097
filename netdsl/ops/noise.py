"""What is random in training and nothing at inference."""

from __future__ import annotations

from typing import ClassVar

from netdsl.ops.base import AttrKind, Cost, Op, Sample, ShapeError, Types, attr, feature_map, operator, require_float


@operator
class Dropout(Op):
    """Drops each element with probability p in training (Srivastava et al. 2014), as `torch.nn.Dropout`.

    At inference, which is what is counted and compiled, the operand itself. Cost: none.
    """

    word: ClassVar[str] = "dropout"

    p: float = attr(AttrKind.FLOAT, "probability of a drop", default=0.5, positional=True)

    def infer(self, inputs: Types) -> Types:
        """The operand's own type."""
        require_float(inputs)
        if not 0 <= self.p < 1:
            raise ShapeError(f"the probability of a drop is at least 0 and below 1, but this is {self.p}")
        return inputs

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """Nothing at inference."""
        return Cost(0, 0)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """The default and another probability."""
        return (Sample("map", cls(), (feature_map(3, 5, 7),)), Sample("p", cls(0.125), (feature_map(3, 5, 7),)))


@operator
class DropPath(Dropout):
    """Drops a whole residual body with probability p in training: stochastic depth (Huang et al. 2016).

    At inference the operand itself. Cost: none.
    """

    word: ClassVar[str] = "droppath"

    p: float = attr(AttrKind.FLOAT, "probability of a drop", default=0.1, positional=True)
