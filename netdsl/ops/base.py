"""What an operator must say of itself. Plain Python: parsing, checking and counting need no NumPy.

An operator is one immutable dataclass. Its fields are at once the schema, the shorthand of the `.net` text (`k3 s2 p1`)
and the attributes of the IR. What it computes stands in `netdsl.reference`; how a backend lowers it stands in
`netdsl.codegen`.
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from enum import Enum
from functools import cache
from math import sqrt
from typing import Any, ClassVar, NamedTuple, TypeVar, dataclass_transform

from netdsl.tensor import DType, TensorType, shape_text

Types = tuple[TensorType, ...]


class AttrKind(Enum):
    """What an attribute's value is, and so how it is written."""

    INT = "a whole number"
    FLOAT = "a number"
    AXES = "a whole number for every axis (`k3`), or one for each axis (`k3x5`)"
    INTS = "a list of whole numbers"
    EXTENTS = "extents (`7x7`), or a tensor that has them"
    SHAPE = "a shape (`7x7`)"
    WORD = "one of the words listed"
    FLAG = "present or absent"


@dataclass(frozen=True, slots=True)
class Attr:
    """Schema of one field. `flag` is the bare word that sets the field to the opposite of its default."""

    name: str
    kind: AttrKind
    doc: str
    required: bool
    default: Any
    positional: bool = False
    short: str | None = None
    flag: str | None = None
    choices: tuple[str, ...] = ()
    implied: bool = False

    @property
    def spelling(self) -> str:
        """The name that a `.net` text uses for it: the short letter where there is one."""
        return self.short or self.flag or self.name


def attr(
    kind: AttrKind,
    doc: str,
    *,
    default: Any = MISSING,
    positional: bool = False,
    short: str | None = None,
    flag: str | None = None,
    choices: tuple[str, ...] = (),
    implied: bool = False,
) -> Any:
    """Declare a field of an operator. `implied` marks what `resolve` works out and no text ever writes."""
    settings = {
        "kind": kind,
        "doc": doc,
        "positional": positional,
        "short": short,
        "flag": flag,
        "choices": choices,
        "implied": implied,
    }
    return field(default=default, metadata={"attr": settings})


class ShapeError(Exception):
    """An operator refuses its operands. Knows no source position; `operand` is the index of the one at fault."""

    def __init__(self, message: str, operand: int | None = None, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.operand = operand
        self.help = help


class Init(NamedTuple):
    """How a weight starts: `constant` (value), `normal` (standard deviation), `uniform` (-value to value) or `list`.

    `numbers` are the elements of a `list` in their order, the last axis running fastest.
    """

    kind: str
    value: float = 0.0
    numbers: tuple[float, ...] = ()


ZEROS = Init("constant", 0.0)
ONES = Init("constant", 1.0)


def he_uniform(fan_in: int) -> Init:
    """He et al. 2015 (arXiv:1502.01852): uniform with variance 2 / fan_in, so that ReLU layers keep the scale."""
    return Init("uniform", sqrt(6 / max(fan_in, 1)))


class Weight(NamedTuple):
    """One weight that an operator implies. `trainable` is False for buffers (running statistics)."""

    name: str
    shape: tuple[int, ...]
    init: Init
    trainable: bool = True


class Cost(NamedTuple):
    """Work for one sample: `macs` multiply-accumulates of convolutions and matrix products, and `flops` in all.

    flops = 2 * macs + every other arithmetic operation, by the rule that the operator's docstring states.
    """

    macs: int
    flops: int


class Window(NamedTuple):
    """What one output element sees of the input, per spatial axis, for receptive fields.

    extent  input elements under the window, dilation included.
    stride  input elements between neighbouring outputs, as (numerator, denominator): upsampling by 2 is (1, 2).
    """

    extent: tuple[int, ...]
    stride: tuple[tuple[int, int], ...]


class Sample(NamedTuple):
    """A small typed case of an operator, for every generic test. `op` is as written, before `resolve`."""

    name: str
    op: Op
    inputs: Types


_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, field_specifiers=(attr,))
def operator(cls: type[_T]) -> type[_T]:
    """Make a dataclass of an operator with fields; one without fields needs no decorator.

    Comparing, printing and refusing changes are Op's: generated for each of sixty classes, as by
    `dataclass(frozen=True)`, they take longer to make than the rest of the program takes to start.
    """
    return dataclass(eq=False, repr=False)(cls)


class OpType(ABCMeta):
    """The class of operators: as of abstract classes, but for `isinstance`, which asks for every node of every pass.

    Nobody registers a class as an operator that is none, so the plain test does, in C.
    """

    __instancecheck__ = type.__instancecheck__


@operator
class Op(metaclass=OpType):
    """Base of all operators. The class docstring is the operator's reference page: meaning, shapes, cost, source."""

    word: ClassVar[str]
    """The word in a `.net` text and in the IR."""
    operands: ClassVar[tuple[int, int | None]] = (1, 1)
    """Least and most tensors taken (weights not counted); None for no upper bound."""
    implicit: ClassVar[int] = 0
    """Place of `it` among the operands when one of them is left out."""
    leads: ClassVar[bool] = False
    """Whether `it` always comes first, and the parentheses hold only what goes with it."""
    named: ClassVar[tuple[str, ...]] = ()
    """Operands that the parentheses may hold by name, after all others: `attention(memory, mask=hidden)`."""
    ties: ClassVar[bool] = False
    """Whether it may use the weight of a shared layer in place of its own: `fc vocab tied=words`."""
    written: ClassVar[bool] = True
    """Whether a `.net` text may use the word; False for what only passes make."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in self.__dict__ or name not in self.__dataclass_fields__:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        self.__dict__[name] = value

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"

    def wanted(self) -> tuple[int, int | None]:
        """Least and most tensors that this instance takes; its attributes may narrow what the class allows."""
        return self.operands

    def resolve(self, inputs: Types) -> Op:
        """The same operator with everything implied written out (axes of a kernel, `same`, `global`). Idempotent."""
        return self

    def weights(self, inputs: Types) -> tuple[Weight, ...]:
        """The weights of a resolved operator, in the order in which a node takes them after its operands."""
        return ()

    @abstractmethod
    def infer(self, inputs: Types) -> Types:
        """Types of the results of a resolved operator on these operands (weights not among them).

        Raises ShapeError where they do not fit.
        """

    @abstractmethod
    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """Work of a resolved operator per sample."""

    def window(self, inputs: Types) -> Window | None:
        """The window of a resolved operator, or None where each output element sees the element at its own place."""
        return None

    def remarks(self, inputs: Types) -> tuple[tuple[str, str], ...]:
        """Warnings on legal but doubtful uses of the operator as written, as (code, sentence)."""
        return ()

    @classmethod
    @abstractmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Small cases that together reach every attribute, odd extents included."""

    @classmethod
    @cache
    def schema(cls) -> tuple[Attr, ...]:
        """The attributes in the order of the fields; positional ones are taken in this order."""
        return tuple(
            Attr(
                name=item.name,
                required=item.default is MISSING,
                default=None if item.default is MISSING else item.default,
                **item.metadata["attr"],
            )
            for item in fields(cls)
        )


def common_batch(inputs: Types) -> int:
    """Rows of a result that depends on all operands: what does not depend on the sample joins anything."""
    rows = {operand.batch for operand in inputs if operand.batch}
    if len(rows) > 1:
        counts = " and ".join(map(str, sorted(rows)))
        raise ShapeError(
            f"joins tensors inside and outside of `each`, which have {counts} rows for a sample",
            help="what the body of `each` reads comes in along the leading axis: join it before `each`",
        )
    return rows.pop() if rows else 0


def require_float(inputs: Types) -> None:
    """Refuse whole-number and boolean operands."""
    for index, operand in enumerate(inputs):
        if not operand.dtype.is_float:
            raise ShapeError(f"expects real numbers, but this operand holds {operand.dtype.label} values", index)


def require_rank(operand: TensorType, ranks: tuple[int, ...], what: str, index: int = 0) -> None:
    """Refuse an operand whose number of axes is not among `ranks`; `what` says what is expected."""
    if operand.rank not in ranks:
        batch = max(ranks) == 3 and operand.rank == 4 and operand.shape[0] == 1
        help = f"the batch is implied: write {shape_text(operand.shape[1:])}" if batch else None
        raise ShapeError(f"expects {what}, but it is {shape_text(operand.shape)}", index, help)


def per_axis(values: tuple[int, ...], rank: int, what: str) -> tuple[int, ...]:
    """Spread one value over all axes, or check that there is one for each."""
    if len(values) == rank:
        return values
    if len(values) == 1:
        return values * rank
    raise ShapeError(f"{what} gives {len(values)} values for {rank} {'axis' if rank == 1 else 'axes'}")


def feature_map(channels: int, *spatial: int, dtype: DType = DType.FLOAT32) -> TensorType:
    """A `C x H x W` (or `C x L`) activation type, for samples."""
    return TensorType((channels, *spatial), dtype)


def vector(features: int, dtype: DType = DType.FLOAT32) -> TensorType:
    """A type of one axis, for samples."""
    return TensorType((features,), dtype)


def axis_index(axis: int, operand: TensorType, index: int = 0) -> int:
    """An axis counted from the front; -1 is the last."""
    if not -operand.rank <= axis < operand.rank:
        raise ShapeError(
            f"there is no axis {axis} in {shape_text(operand.shape)} (axes count from 0, or -1 back)", index
        )
    return axis % operand.rank


def require_at_least(least: int, values: tuple[int, ...], what: str) -> None:
    """Refuse values that are too small."""
    if any(value < least for value in values):
        shown = values[:1] if len(set(values)) == 1 else values
        raise ShapeError(f"{what} is at least {least}, but this is {shape_text(shown)}")


def require_eps(eps: float) -> None:
    """Refuse an eps that does not keep a divisor from zero."""
    if not eps > 0:
        raise ShapeError(f"eps is above 0, but this is {eps}")
