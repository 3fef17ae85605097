"""What a tensor is to the compiler: element type, shape per sample, batch. Imports nothing of netdsl."""

from __future__ import annotations

from enum import Enum
from math import prod
from typing import NamedTuple


class DType(Enum):
    """Element types, by the names that users write. `size` is the storage of one element in bytes.

    `tf32` is stored as float32; only matrix products round their operands to 10 bits of mantissa.
    """

    FLOAT64 = ("float64", "f64", 8)
    FLOAT32 = ("float32", "f32", 4)
    TF32 = ("tf32", "tf32", 4)
    FLOAT16 = ("float16", "f16", 2)
    BFLOAT16 = ("bfloat16", "bf16", 2)
    FLOAT8 = ("float8", "f8", 1)
    INT64 = ("int64", "i64", 8)
    BOOL = ("bool", "bool", 1)

    def __init__(self, label: str, short: str, size: int) -> None:
        self.label = label
        self.short = short
        self.size = size

    # By identity, in C: types are hashed for every layer, and Enum's own hash is Python.
    __hash__ = object.__hash__

    @property
    def is_float(self) -> bool:
        """Whether it may be the element type that a network computes in."""
        return self not in (DType.INT64, DType.BOOL)


COMPUTE_DTYPES: tuple[DType, ...] = tuple(dtype for dtype in DType if dtype.is_float)
"""The choices of `--dtype`."""


class Layout(Enum):
    """Storage order of a feature map. Shapes are always written channels first; only the order in memory differs."""

    CHANNELS_FIRST = "first"
    CHANNELS_LAST = "last"

    __hash__ = object.__hash__


class TensorType(NamedTuple):
    """Type of a value in the IR.

    shape   extents per sample (`C x H x W` for a feature map), always channels first.
    dtype   element type; a graph is built in float32, a backend chooses what it computes in.
    batch   rows per sample of the input: 1 for an ordinary activation, 0 for what does not depend on the sample
            (weights and all that is computed from them alone), r inside `each` over a leading axis of r.
    layout  storage order, set by the layout pass.
    pitch   elements from one row of the last stored axis to the next where there are gaps between them, as in a part of
            a concatenation; else 0. Set by a backend.
    """

    shape: tuple[int, ...]
    dtype: DType = DType.FLOAT32
    batch: int = 1
    layout: Layout = Layout.CHANNELS_FIRST
    pitch: int = 0

    @property
    def rank(self) -> int:
        """Number of axes per sample."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Elements per row: the product of the extents."""
        return prod(self.shape)

    @property
    def elements(self) -> int:
        """Elements per sample of the network's input (rows included; a batch-free tensor counts once)."""
        return prod(self.shape) * max(self.batch, 1)

    def __str__(self) -> str:
        """The IR's spelling: `f32[N,3,8,8]`, `f32[N*100,256,7,7]`; `:last` marks channels-last storage."""
        rows = [] if self.batch == 0 else ["N" if self.batch == 1 else f"N*{self.batch}"]
        extents = ",".join(rows + [str(n) for n in self.shape])
        last = ":last" if self.layout is Layout.CHANNELS_LAST else ""
        gaps = f":pitch {self.pitch}" if self.pitch else ""
        return f"{self.dtype.short}[{extents}]{last}{gaps}"


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as users write it: `64x56x56`; a scalar is `scalar`."""
    return "x".join(str(n) for n in shape) if shape else "scalar"
