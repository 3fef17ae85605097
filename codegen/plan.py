"""What a backend decides before anything is printed: kernels, their launches, and the buffers they work on.

A plan is data. Its text form (`str(plan)`) is what `--dump` writes; templates print it; nothing is decided after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import Enum

from netdsl.tensor import DType, TensorType, shape_text

MADE = {
    "last": "a copy of the value of that name, channels last in memory.",
    "first": "a copy of the value of that name, channels first in memory.",
    "rows": "what `each` goes over, its leading axis as rows of the batch.",
    "view": "what the layer of that name reads, as height x width x channels.",
}
"""Layers that no line of the text names: those of the layout pass and of `each`, by the last component of names."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """Storage of one value in the arena; both figures are bytes per sample: at batch N it lies at `offset * N`."""

    name: str
    type: TensorType
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Part:
    """A value that is stored inside the buffer of another: elements `start` and on of each of its rows."""

    name: str
    type: TensorType
    whole: str
    start: int


@dataclass(frozen=True, slots=True)
class Kernel:
    """A function of the generated module: a template of the backend, and the frozen dataclass that fills it."""

    name: str
    template: str
    spec: object = None


@dataclass(frozen=True, slots=True)
class Launch:
    """One call of a kernel.

    kernel  name of the kernel.
    layer   address of the layer it computes, as in the `.net` text.
    reads   names of the values it reads, weights included, in the order of its parameters.
    writes  names of the values it writes.
    type    type of the first of those.
    spec    frozen dataclass with everything else (windows, tiles, grid), or a tuple of them.
    place   `file:line` of the layer; empty for what a pass made.
    """

    kernel: str
    layer: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    type: TensorType
    spec: object = None
    place: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole network. `prelude` runs once, on weights; `launches` for every input.

    `arena` is in bytes per sample; `least` is the most bytes that live together, below which no arena is (0: unsaid).
    """

    name: str
    backend: str
    dtype: DType
    arena: int
    buffers: tuple[Buffer, ...]
    kernels: tuple[Kernel, ...]
    prelude: tuple[Launch, ...]
    launches: tuple[Launch, ...]
    parts: tuple[Part, ...] = ()
    least: int = 0

    def __str__(self) -> str:
        """The text form: one line for each buffer, kernel and launch."""
        least = f", at least {self.least}" if self.least else ""
        lines = [f"plan {self.name}: {self.backend} {self.dtype.label}, arena of {self.arena} bytes per sample{least}"]
        lines += [f"  buffer {b.name}: {b.type} at {b.offset}, {b.size} bytes" for b in self.buffers]
        lines += [f"  part {p.name}: {p.type} in {p.whole} from {p.start}" for p in self.parts]
        lines += [f"  kernel {k.name} = {k.template}{_braced(k.spec)}" for k in self.kernels]
        lines += [f"  prelude {_launch(launch)}" for launch in self.prelude]
        lines += [f"  launch {_launch(launch)}" for launch in self.launches]
        return "\n".join(lines) + "\n"


def describe(spec: object) -> str:
    """The fields of a frozen dataclass, or of several, as `name=value, ...`; windows and shapes as users write them."""
    if spec is None:
        return ""
    if isinstance(spec, tuple):
        return ", ".join(text for text in map(describe, spec) if text)
    return ", ".join(f"{item.name}={_text(getattr(spec, item.name))}" for item in fields(spec))  # type: ignore[arg-type]


def legend(launches: Sequence[Launch]) -> list[str]:
    """What the names mean that no line of the text gives, where there are some: a line each."""
    made = {launch.layer.rpartition(".")[2] for launch in launches if launch.reads}
    return [f".{name}: {text}" for name, text in MADE.items() if name in made]


def _braced(spec: object) -> str:
    text = describe(spec)
    return f" {{{text}}}" if text else ""


def _launch(launch: Launch) -> str:
    place = f"  # {launch.place}" if launch.place else ""
    reads = " ".join(f"%{name}" for name in launch.reads)
    writes = ", ".join(f"%{name}" for name in launch.writes)
    return f"{writes}: {launch.type} = {launch.kernel}{_braced(launch.spec)} {reads}{place}"


def _text(value: object) -> str:
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, tuple) and value and all(type(item) is int for item in value):
        return shape_text(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))})"
    if hasattr(value, "__dataclass_fields__"):
        return f"{type(value).__name__}({describe(value)})"
    return str(value)
