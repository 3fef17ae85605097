"""From launches to what is printed: every value gets a place and a name, every launch its statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import TextWrapper
from typing import NamedTuple

from netdsl.analysis.liveness import activation_bytes
from netdsl.analysis.memory import plan_memory
from netdsl.codegen.names import Names, comment
from netdsl.codegen.plan import Buffer, Launch, Plan
from netdsl.codegen.prelude import common_prefix
from netdsl.codegen.render import literal
from netdsl.codegen.triton.cost import amounts, predict
from netdsl.codegen.triton.devices import DEVICES, H200
from netdsl.codegen.triton.expressions import CONSTANT
from netdsl.codegen.triton.index import storage_axes
from netdsl.codegen.triton.kernels import Call, Shape
from netdsl.codegen.triton.planner import ONE, Packed, Planner, Step
from netdsl.codegen.triton.prepare import WIDTH, Preparation, Recipe
from netdsl.codegen.triton.tiling import BATCHES
from netdsl.codegen.triton.work import Tile
from netdsl.ir.graph import Graph, Node, Value
from netdsl.tensor import DType, TensorType, shape_text

ALIGNMENT = 128
"""Buffers start at multiples of this many bytes, for any batch: whole cache lines, and what wide loads ask for."""
MOST_ROWS = 2**31 - 2**16
"""Rows that a kernel can count in 32 bits, with its last block."""


Figures = tuple[object, ...]
"""What a launch does, and how long it should take, as `LAYERS` in a module explains it."""


class Place(NamedTuple):
    """A buffer as printed; `element` is the rest of the call of `place`."""

    name: str
    offset: int
    size: int
    element: str
    type: str


@dataclass(frozen=True)
class Statement:
    """One launch as printed: a comment and its lines."""

    note: str
    lines: tuple[str, ...]


class Result(NamedTuple):
    """A result of the network: the value whose storage it is, and the type that it has as a result."""

    name: str
    source: Value
    type: TensorType


@dataclass(frozen=True)
class Program:
    """Everything that the module's template prints besides kernels; `plan` says the same as data."""

    plan: Plan
    arena: int
    max_batch: int
    has_rows: bool
    shapes: tuple[str, ...]
    tiles: tuple[tuple[int, tuple[str, ...]], ...]
    sums: int
    forms: frozenset[str]
    layers: tuple[tuple[str, str | Figures], ...]
    work: tuple[tuple[str, Figures], ...]
    recipes: tuple[Recipe, ...]
    prepare: tuple[str, ...]
    scales: tuple[str, ...]
    uses_matrix: bool
    uses_cast: bool
    uses_sines: bool
    uses_eights: bool
    buffers: tuple[Place, ...]
    steps: tuple[Statement, ...]
    inputs: tuple[tuple[str, Value], ...]
    results: tuple[tuple[str, Result], ...]


def constants(graph: Graph) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """The prelude's nodes that PyTorch computes when weights are loaded, and those that need kernels.

    The second run with every pass: nothing that only a network's own `param` would need is worth a second mechanism.
    """
    ready = {parameter.value for parameter in graph.parameters}
    at_load, at_run = [], []
    for node in graph.prelude:
        if type(node.op) in CONSTANT and ready.issuperset(node.inputs):
            at_load.append(node)
            ready.update(node.outputs)
        else:
            at_run.append(node)
    return tuple(at_load), tuple(at_run)


class Printer:
    """Gives names and places to what a planner has collected."""

    def __init__(self, planner: Planner, at_load: Sequence[Node], results: Sequence[Result]) -> None:
        self.planner = planner
        self.at_load = at_load
        self.graph = planner.graph
        self._buffers = Names(("counts", "parts"))
        # Inputs are parameters of methods in `model.py.j2`, which have variables of their own.
        self._inputs = Names((*planner.reserved, "given", "inputs", "own", "results", "self", "workspace"))
        self._results = Names()
        self._weights = Names()
        self._prefix = common_prefix([parameter.value.name for parameter in planner.graph.parameters])
        self._packs: dict[Packed, str] = {}
        self._texts: dict[Value, str] = {value: f"x.{self._inputs(value.name)}" for value in self.graph.inputs}
        self.results = tuple((self._results(result.name), result) for result in results)
        for attribute, result in self.results:
            self._texts[result.source] = f"y.{attribute}"

    def run(self) -> Program:
        """Everything placed and worded."""
        ranges = self._ranges()
        buffers, arena = self._place(ranges)
        steps, most = [], 1
        layers: list[tuple[str, str | Figures]] = []
        work: dict[str, Figures] = {}
        forms: set[str] = set()
        keys: set[str] = set()
        for whole in self.planner.steps:
            lines: tuple[str, ...] = ()
            for step in (*whole.apart, whole):
                call = step.launch.spec
                assert isinstance(call, Call)
                key = _unique(" + ".join(part.launch.layer for part in (*step.apart[:1], step)), keys)
                forms.add(call.form)
                if call.shape and call.shape.name not in work:
                    work[call.shape.name] = _figures(call)
                layers.append((key, call.shape.name if call.shape else _figures(call)))
                if not call.widest:
                    most = max(most, _rows(call.count))
                if step.apart:
                    lines = self._pair(step, key, lines)
                else:
                    lines += self._statement(step.launch, key, call, step.reads, step.writes)
            steps.append(Statement(_note(whole.launch), lines))
        shapes = tuple(self.planner.shapes.values())
        tiles = [tile for shape in shapes for _, table in shape.tables for _, tile in table if tile]
        targets = [target for target in DEVICES if shapes and all(target in dict(shape.tables) for shape in shapes)]
        types = [*(value.type for value in self.graph.inputs), *(result.type for _, result in self.results)]
        recipes, prepare = Preparation(self.graph, self._packs, self.planner.top).run(self.at_load)
        text = "\n".join((*prepare, *(line for recipe in recipes for line in recipe.body)))
        plan = Plan(
            self.graph.name,
            "triton",
            self.planner.dtype,
            arena,
            buffers,
            tuple(self.planner.kernels.values()),
            (),
            tuple(step.launch for step in self.planner.steps),
        )
        return Program(
            plan,
            arena,
            MOST_ROWS // most,
            any(type.batch != 1 for type in types),
            tuple(line for shape in shapes for line in _shape_lines(shape)),
            tuple(
                (
                    target,
                    tuple(line for shape in shapes for line in _tile_lines(shape, target)),
                )
                for target in targets
            ),
            max((tile.m * tile.n for tile in tiles if tile.split > 1), default=0),
            frozenset(forms),
            tuple(layers),
            tuple(work.items()),
            recipes,
            prepare,
            tuple(name for pack, name in self._packs.items() if pack.form == ONE),
            "matrix(" in text,
            "cast(" in text or "matrix(" in text,
            "sine_table(" in text,
            "eights(" in text,
            tuple(self._printed(buffer) for buffer in buffers),
            tuple(steps),
            tuple((self._inputs(value.name), value) for value in self.graph.inputs),
            self.results,
        )

    # Memory.

    def _ranges(self) -> dict[Value, tuple[int, int]]:
        """First and last step of everything that needs a place in the arena."""
        ranges: dict[Value, tuple[int, int]] = {}
        for number, step in enumerate(self.planner.steps):
            for item in (item for part in (step, *step.apart) for item in (*part.writes, *part.reads)):
                if not isinstance(item, Value):
                    continue
                value = self.planner.parts[item].whole if item in self.planner.parts else item
                if value not in self._texts:
                    first, _ = ranges.get(value, (number, number))
                    ranges[value] = (first, number)
        return ranges

    def _place(self, ranges: dict[Value, tuple[int, int]]) -> tuple[tuple[Buffer, ...], int]:
        names = {value: self._buffers(value.name, value.name.removeprefix(self._prefix)) for value in ranges}
        sizes = {value: activation_bytes(value.type, self.planner.stored(value)) for value in ranges}
        # A multiple of the alignment per sample: then every batch is aligned.
        plan = plan_memory(((names[v], sizes[v], first, last) for v, (first, last) in ranges.items()), ALIGNMENT)
        for value, name in names.items():
            self._texts[value] = f"a.{name}"
        for value, (whole, start) in self.planner.parts.items():
            flat = self._texts[whole] + ("" if whole in names else ".view(-1)")
            self._texts[value] = f"{flat}[{start}:]" if start else flat
        types = {v: v.type._replace(dtype=DType.FLOAT8) if v in self.planner.scales else v.type for v in ranges}
        return tuple(Buffer(names[v], types[v], plan.offsets[names[v]], sizes[v]) for v in ranges), plan.bytes

    def _printed(self, buffer: Buffer) -> Place:
        eight = buffer.type.dtype is DType.FLOAT8
        stored = "float8_e4m3fn" if eight else buffer.type.dtype.label
        element = f", torch.{stored}" if eight or not buffer.type.dtype.is_float else ""
        order = " channels last" if storage_axes(buffer.type) != tuple(range(buffer.type.rank)) else ""
        return Place(buffer.name, buffer.offset, buffer.size, element, f"{shape_text(buffer.type.shape)}{order}")

    # Launches.

    def _statement(
        self, launch: Launch, key: str, call: Call, reads: Sequence[object], writes: Sequence[Value]
    ) -> tuple[str, ...]:
        operands = [self._argument(read) for read in reads]
        results = [self._texts[value] for value in writes]
        if call.form != "run":
            return self._product(launch, key, call, operands, results)
        arguments = [literal(key), launch.kernel, call.programs, *operands, *results, call.count]
        if call.steps:
            arguments += ["step", "FIRST=step == 0"]
        arguments += [f"{name}={value}" for name, value in call.constants]
        if call.widest:
            arguments.append(f"WIDE={call.widest} * batch >= 2**31")
        run = ["run(", *(f"    {line}" for line in wrapped(arguments)), ")"]
        if call.steps:
            run = [f"for step in range({call.steps}):", *(f"    {line}" for line in run)]
        return tuple(run)

    def _product(
        self, launch: Launch, key: str, call: Call, operands: Sequence[str], results: Sequence[str]
    ) -> tuple[str, ...]:
        """The call of `convolve` or `multiply`, which have the same parameters but for the number of rows."""
        assert call.shape
        x, w, *others = operands
        vectors, maps = others[: len(others) - call.maps], others[len(others) - call.maps :]
        kernels = [launch.kernel, call.twin] if call.twin else [launch.kernel]
        arguments = ["run", "tiles", literal(key), _group(kernels), literal(call.shape.name), _samples(call)]
        arguments += [call.count] * (call.form == "multiply")
        arguments += [x, w, _group(vectors), _group(maps), *results, "a"]
        return (f"{call.form}(", *(f"    {line}" for line in wrapped(arguments)), ")")

    def _pair(self, step: Step, key: str, apart: Sequence[str]) -> tuple[str, ...]:
        """One launch where the tables have a tile for it, else those of its parts."""
        call = step.launch.spec
        assert isinstance(call, Call)
        assert call.shape
        texts = [self._argument(read) for read in step.reads]
        if call.form == "multiply":
            results = [self._texts[value] for value in step.writes]
            return _either(call, self._product(step.launch, key, call, texts, results), apart)
        given = {"chain": 3, "separable": 3, "add_products": 4, "pool_products": 2, "pool_boxes": 2}[call.form]
        end = len(texts) - call.maps
        vectors, maps = texts[given:end], texts[end:]
        shape = literal(call.shape.name)
        arguments = ["run", "tiles", literal(key), step.launch.kernel, shape, _samples(call), *texts[:given]]
        arguments += [_group(vectors), _group(maps), *(self._texts[value] for value in step.writes)]
        arguments += ["a"] * (call.form == "add_products")
        return _either(call, (f"{call.form}(", *(f"    {line}" for line in wrapped(arguments)), ")"), apart)

    def _argument(self, read: object) -> str:
        if isinstance(read, Value):
            return self._texts[read]
        assert isinstance(read, Packed)
        if read not in self._packs:
            address = f"{read.value.name}.{read.suffix}" + "." * len(self._packs)
            self._packs[read] = self._weights(address, address.removeprefix(self._prefix))
        return f"w.{self._packs[read]}"


def wrapped(arguments: Sequence[str]) -> list[str]:
    """Arguments, a comma after each, in lines of at most WIDTH characters, none of them broken."""
    wrapper = TextWrapper(WIDTH - 4, break_long_words=False, break_on_hyphens=False)
    held = " ".join(argument.replace(" ", "\0") + "," for argument in arguments)
    return [line.replace("\0", " ") for line in wrapper.wrap(held)]


def _either(call: Call, lines: Sequence[str], apart: Sequence[str]) -> tuple[str, ...]:
    """The launch of a pair where it has a tile, else those of its parts."""
    assert call.shape
    test = f"if tile(tiles, {literal(call.shape.name)}, {_samples(call)}):"
    return (test, *(f"    {line}" for line in lines), "else:", *(f"    {line}" for line in apart))


def _group(texts: Sequence[str]) -> str:
    """A tuple of expressions."""
    return f"({', '.join(texts)},)" if len(texts) == 1 else f"({', '.join(texts)})"


def _samples(call: Call) -> str:
    """The samples of a product, as an expression in `batch`."""
    assert call.work
    return {0: "1", 1: "batch"}.get(call.work.samples, f"{call.work.samples} * batch")


def _figures(call: Call) -> Figures:
    """An entry of the module's table of work."""
    assert call.work
    tiles = [call.tile(H200.target, batch) for batch in BATCHES]
    times = [
        float(f"{predict(call.work, tile, H200, batch).time:.3g}") if tile or not call.shape else None
        for tile, batch in zip(tiles, BATCHES, strict=True)
    ]
    return (call.work.samples, tuple(map(tuple, amounts(call.work))), tuple(times))


def _shape_lines(shape: Shape) -> list[str]:
    """An entry of the module's table of shapes."""
    wrapper = TextWrapper(WIDTH)
    pairs = ", ".join(f'"{name}":\0{value}' for name, value in shape.constants)
    lines = [line.replace("\0", " ") for line in wrapper.wrap(pairs)]
    return [f"{literal(shape.name)}: {{", *(f"    {line}" for line in lines[:-1]), f"    {lines[-1]},", "},"]


def _tile_lines(shape: Shape, target: int) -> list[str]:
    """An entry of the module's table of tiles: a line where that is long enough."""
    texts = [f"({least}, {literal(_numbers(tile))})" for least, tile in dict(shape.tables)[target]]
    line = f"{literal(shape.name)}: {_group(texts)},"
    return (
        [line] if len(line) <= WIDTH - 4 else [f"{literal(shape.name)}: (", *(f"    {text}," for text in texts), "),"]
    )


def _numbers(tile: Tile | None) -> tuple[object, ...] | None:
    """What the module's `constants` takes apart: boxes are tuples."""
    if tile is None:
        return None
    return (tile.box or tile.m, tile.n, tile.k, tile.warps, tile.stages, tile.split)


def _unique(layer: str, known: set[str]) -> str:
    """The key of a launch: its layer, with a number where the layer has several."""
    count, key = 1, layer
    while key in known:
        count += 1
        key = f"{layer} #{count}"
    known.add(key)
    return key


def _rows(count: str) -> int:
    """The rows of one sample in a count."""
    head, _, tail = count.partition(" * ")
    return int(head) if tail == "batch" else 1


def _note(launch: Launch) -> str:
    place = f", {launch.place}" if launch.place else ""
    return f"{comment(launch.layer)}: {shape_text(launch.type.shape)}{place}"
