"""What a lowering returns: calls of kernels, as data. `planner.py` names the values; templates print the calls."""

from __future__ import annotations

from dataclasses import dataclass

from netdsl.codegen.numpy.storage import View


@dataclass(frozen=True)
class Name:
    """An expression that is printed as it stands: `np.maximum`."""

    text: str


@dataclass(frozen=True)
class Window:
    """A sliding window. Printed once, as a constant named in the `.net` shorthand: `K3_S2_P1`."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]

    @property
    def name(self) -> str:
        """Kernel, stride, padding, dilation; what is ordinary is left out."""
        parts = [f"K{_short(self.kernel)}"]
        parts += [f"S{_short(self.stride)}"] if set(self.stride) != {1} else []
        parts += [f"P{_short(self.padding)}"] if any(self.padding) else []
        parts += [f"D{_short(self.dilation)}"] if set(self.dilation) != {1} else []
        return "_".join(parts)


def _short(values: tuple[int, ...]) -> str:
    return str(values[0]) if len(set(values)) == 1 else "x".join(map(str, values))


@dataclass(frozen=True)
class Call:
    """One statement: `function(*arguments, *writes, <fields of spec>, **window)`.

    arguments  views of values, names, numbers, None; a tuple of views is printed as a tuple.
    writes     views of the results; NumPy's own functions take the one result as `out=`.
    spec       frozen dataclass whose fields are keyword arguments.
    window     further keyword arguments.
    crew       whether the kernel shares its work out among threads: the crew is passed first.
    scratch    elements of scratch memory that each of them wants.
    returns    whether the function returns its result (in the prelude, which has no buffers) instead of writing it.
    tailed     whether the kernel applies an elementwise tail itself: the tail and its operands come last.
    biased     whether it adds the bias itself, before that tail.
    expand     step that turns stored arrays of the result's shape into what the kernel works on (`[:, None]`: one
               spatial axis seen as two).
    """

    function: str
    arguments: tuple[View | Name | float | tuple[View, ...] | None, ...]
    writes: tuple[View, ...]
    spec: object = None
    window: Window | None = None
    crew: bool = False
    scratch: int = 0
    returns: bool = False
    tailed: bool = False
    biased: bool = False
    expand: str = ""


@dataclass(frozen=True)
class Operand:
    """In an elementwise step: input `index` of the operator (weights counted), or its result where `index` is -1."""

    index: int


RESULT = Operand(-1)


@dataclass(frozen=True)
class Step:
    """One statement of an elementwise operator: `function(*arguments, out)`, which may write over what it reads."""

    function: str
    arguments: tuple[Operand | float, ...]
    spec: object = None


@dataclass(frozen=True)
class Elementwise:
    """An elementwise operator: `steps` one after the other.

    names   what the inputs after the first are called where the operator is part of a tail.
    inputs  how each input is read: views that broadcast against the result.
    """

    steps: tuple[Step, ...]
    inputs: tuple[View, ...]
    names: tuple[str, ...] = ()
