"""Collects kernels, launches and prepared weights while the nodes of a graph are lowered one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from netdsl.analysis.joined import Slice
from netdsl.codegen.names import Names, identifier, place_of
from netdsl.codegen.plan import Kernel, Launch
from netdsl.codegen.triton.index import storage_axes
from netdsl.codegen.triton.kernels import Call, Shape
from netdsl.codegen.triton.place import Body, Place
from netdsl.codegen.triton.site import Site
from netdsl.codegen.triton.tiling import Tiling
from netdsl.codegen.triton.work import Pair, Product, Traffic
from netdsl.ir.graph import Graph, Value, users
from netdsl.tensor import DType

ELEMENT = {DType.FLOAT16: "float16", DType.BFLOAT16: "bfloat16"}
"""Triton's and PyTorch's names of the element types that are not float32."""


ONE = "torch.ones(1)"
"""The scale of a float8 value until it is calibrated."""


class Packed(NamedTuple):
    """A weight as a kernel reads it. `form` is a PyTorch expression of the tensor `{}`; `suffix` tells forms apart."""

    value: Value
    form: str
    suffix: str = ""


Argument = Value | Packed


class Bordered(NamedTuple):
    """A map as it is stored: with so many rows of zeros above it, and columns left of it."""

    value: Value
    above: int
    left: int


@dataclass(frozen=True, eq=False)
class Step:
    """A launch before its values have places: what it reads, in the order of the kernel's parameters, and writes.

    `apart` are the launches of a pair's parts, for GPUs and batches where it has no tile.
    """

    launch: Launch
    reads: tuple[Argument, ...]
    writes: tuple[Value, ...]
    apart: tuple[Step, ...] = ()


@dataclass
class Planner:
    """The state of one lowering. `constants` are the values that exist once weights are loaded.

    `parts` says which values are stored inside another. `padded` has, for a map stored with a channel of zeros more
    than it has, the value that is stored, perhaps with its padding around it. `scales` has the values that are stored
    in float8, each with its scale.
    """

    graph: Graph
    dtype: DType
    tiling: Tiling
    constants: frozenset[Value]
    reserved: tuple[str, ...] = ()
    parts: dict[Value, Slice] = field(default_factory=dict)
    kernels: dict[tuple[str, object], Kernel] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    aliases: dict[Value, Value] = field(default_factory=dict)
    shapes: dict[tuple[object, ...], Shape] = field(default_factory=dict)
    scales: Mapping[Value, Value] = field(default_factory=dict)
    padded: dict[Value, Bordered] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.top = Names(self.reserved)
        self._shape_names: set[str] = set()
        self.readers = users(self.graph)

    @property
    def half(self) -> bool:
        """Whether activations are stored in 16 bits, and so widened before any arithmetic."""
        return self.dtype in ELEMENT

    @property
    def precision(self) -> str:
        """`input_precision` of a matrix product."""
        return "tf32" if self.dtype is DType.TF32 else "ieee"

    @property
    def element(self) -> str:
        """The cast of a tile that enters a matrix product."""
        return f".to(tl.{ELEMENT[self.dtype]})" if self.half else ""

    def body(self, place: Place, taken: Sequence[str] = ()) -> Body:
        """An empty body of a kernel whose own names are `taken`."""
        return Body(place, self.half, self.scales, _taken=set(taken))

    def stored(self, value: Value) -> DType:
        """The element type of an activation."""
        return DType.FLOAT8 if self.source(value) in self.scales else self.dtype

    def read(self, value: Value) -> Argument:
        """A value as an argument: activations as they are, weights in float32 and in their order of storage."""
        value = self.source(value)
        if value in self.scales.values():
            return Packed(value, ONE)
        if value not in self.constants:
            return value
        axes = storage_axes(value.type)
        return Packed(value, "{}" if axes == tuple(range(value.type.rank)) else "{}.movedim(0, -1)")

    def source(self, value: Value) -> Value:
        """The value whose storage this one shares."""
        while value in self.aliases:
            value = self.aliases[value]
        return value

    def kernel(self, template: str, stem: str, spec: object) -> str:
        """The name of the kernel with this specification."""
        key = (template, spec)
        if key not in self.kernels:
            name = self.top(_unique(stem, len(self.kernels)))
            self.kernels[key] = Kernel(name, template, spec)
        return self.kernels[key].name

    def shape(self, name: str, constants: dict[str, int], work: Product | Pair) -> Shape:
        """The shape with these constants and tiles; its name gets a number where another has it."""
        key = (tuple(constants.items()), work)
        if key not in self.shapes:
            count, unique = 1, name
            while unique in self._shape_names:
                count += 1
                unique = f"{name} #{count}"
            self._shape_names.add(unique)
            tables = self.tiling.matrix(work, unique) if isinstance(work, Product) else self.tiling.pair(work, unique)
            self.shapes[key] = Shape(unique, tuple(constants.items()), tables)
        return self.shapes[key]

    def launch(
        self,
        site: Site,
        template: str,
        stem: str,
        spec: object,
        reads: Sequence[Argument],
        call: Call,
        writes: Sequence[Value] | None = None,
    ) -> None:
        """Add one launch. Its kernel's parameters are `reads`, then `writes`: all results unless said otherwise."""
        made = tuple(writes if writes is not None else site.results)
        kernel = self.kernel(template, stem, spec)
        if call.work is None:
            call = replace(call, work=self._traffic(reads, made))
        names = tuple(read.value.name if isinstance(read, Packed) else read.name for read in reads)
        node = site.node
        written = tuple(value.name for value in made)
        launch = Launch(kernel, node.name, names, written, made[0].type, call, place_of(node.span))
        self.steps.append(Step(launch, tuple(reads), made))

    def _traffic(self, reads: Sequence[Argument], made: Sequence[Value]) -> Traffic:
        moved = [value.type for value in (*reads, *made) if isinstance(value, Value)]
        packed = sum(read.value.type.size for read in reads if isinstance(read, Packed))
        size = sum(type.size * max(type.batch, 1) for type in moved)
        return Traffic(made[0].type.batch, size, packed, size, self.dtype)


def _unique(stem: str, number: int) -> str:
    """An address that `Names` has not seen, and that mangles to `stem`."""
    return stem + "." * (number + 1)


def kernel_stem(*parts: str) -> str:
    """The name of a kernel from its parts: `conv3x3_add_relu`."""
    return identifier("_".join(part for part in parts if part))
