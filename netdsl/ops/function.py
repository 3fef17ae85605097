"""Elementary functions, powers, comparisons and choice, element by element. Truth values are the numbers 0 and 1."""

from __future__ import annotations

from typing import ClassVar

from netdsl.ops.activation import Elementwise
from netdsl.ops.base import AttrKind, Cost, Sample, Types, attr, feature_map, operator, vector
from netdsl.ops.elementwise import Join
from netdsl.tensor import DType, TensorType

FUNCTIONS = ("sin", "cos", "atan", "erf", "floor", "ceil", "round", "trunc", "sign")
RELATIONS = ("equal", "unequal", "less", "atmost", "greater", "atleast")


@operator
class Apply(Elementwise):
    """A function of each element, by its name: `apply sin`, as `torch.sin` and its like.

    `round` goes to the even one of two equally near whole numbers, `trunc` towards zero; `sign` gives -1, 0 or 1.
    Cost: 1 operation per element.
    """

    word: ClassVar[str] = "apply"
    operations: ClassVar[int] = 1

    function: str = attr(AttrKind.WORD, "the function", positional=True, choices=FUNCTIONS)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Every function."""
        return tuple(Sample(name, cls(name), (feature_map(3, 5, 7),)) for name in FUNCTIONS)


class Power(Join):
    """`a ** b`, element by element, as `torch.pow`; `pow(x)` is `it ** x`.

    A number below 0 to a power that is not whole is NaN. Cost: 1 operation per element.
    """

    word: ClassVar[str] = "pow"
    operands: ClassVar[tuple[int, int | None]] = (2, 2)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Exponents of the network: for every element, for a channel, one for all."""
        image = feature_map(5, 7, 9)
        shapes = {"equal": (5, 7, 9), "channels": (5, 1, 1), "single": (1,)}
        return tuple(
            Sample(name, cls(), (image, TensorType(shape, DType.FLOAT32, 0))) for name, shape in shapes.items()
        )


@operator
class Compare(Join):
    """1 where a relation holds between elements of two tensors, else 0: `compare less(x)` is `it < x`.

    `atmost` is `<=`, `atleast` is `>=`; no relation but `unequal` holds of NaN. As `torch.lt` and its like, as real
    numbers. Cost: 1 operation per element.
    """

    word: ClassVar[str] = "compare"
    operands: ClassVar[tuple[int, int | None]] = (2, 2)

    relation: str = attr(AttrKind.WORD, "the relation", positional=True, choices=RELATIONS)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Every relation, spread operands."""
        image = feature_map(3, 5, 7)
        constant = TensorType((3, 1, 1), DType.FLOAT32, 0)
        return (
            *(Sample(name, cls(name), (image, image)) for name in RELATIONS),
            Sample("constant", cls("less"), (image, constant)),
        )


class Select(Join):
    """The second operand where the first is not 0, else the third, as `torch.where`: `select(mask, a, b)`.

    What is not chosen leaves no trace, NaN and infinity neither. Cost: 1 operation per element.
    """

    word: ClassVar[str] = "select"
    operands: ClassVar[tuple[int, int | None]] = (3, 3)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """One choice for each element."""
        return Cost(0, outputs[0].elements)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Equal shapes, a spread mask, constants."""
        image = feature_map(5, 7, 9)
        single = TensorType((1,), DType.FLOAT32, 0)
        return (
            Sample("equal", cls(), (image, image, image)),
            Sample("plane", cls(), (feature_map(1, 7, 9), image, feature_map(5, 1, 1))),
            Sample("constants", cls(), (vector(37), single, vector(37))),
        )
