"""From a graph to what is printed: every layer lowered, every value named, every buffer placed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import takewhile
from typing import Any

from netdsl.analysis.joined import joined_results, joined_values, left_to_copy, storage_ranges
from netdsl.analysis.liveness import activation_bytes
from netdsl.analysis.memory import plan_memory
from netdsl.codegen.names import comment, place_of
from netdsl.codegen.numpy.calls import Call, Elementwise, Operand, Step, Window
from netdsl.codegen.numpy.lowerings import LOWERINGS
from netdsl.codegen.numpy.lowerings.elementwise import RELATIONS, is_shared_out, shared_out, steps_of
from netdsl.codegen.numpy.parts import can_be_part
from netdsl.codegen.numpy.preparation import Preparation
from netdsl.codegen.numpy.program import Layer, Program
from netdsl.codegen.numpy.scope import Argument, Scope
from netdsl.codegen.numpy.storage import FIRST, LAST, Broadcast, View, aligned, layout_of, stored_shape
from netdsl.codegen.numpy.tails import Link, Tail, operands, statements, tail, tail_reads
from netdsl.codegen.numpy.tuned import Tuned
from netdsl.codegen.plan import Buffer, Kernel, Launch, Part, Plan
from netdsl.codegen.prelude import extents
from netdsl.codegen.printing import Expression, copy, keywords, statement
from netdsl.codegen.render import literal
from netdsl.ir.fused import Fused
from netdsl.ir.graph import Graph, Node, Value
from netdsl.ops.conv import Conv, UpConv
from netdsl.ops.linear import Fc
from netdsl.ops.pieces import Concat
from netdsl.ops.shape import Reshape
from netdsl.tensor import DType, Layout, TensorType

ALIGNMENT = 64
"""Buffers start at multiples of a cache line, which is also the widest vector register."""


class Planner:
    """Walks a graph once. `reserved` are the names that the module around uses itself, `tuned` what was measured."""

    def __init__(self, graph: Graph, dtype: DType, reserved: tuple[str, ...], tuned: Tuned) -> None:
        self._graph = graph
        self._dtype = dtype
        self._reserved = reserved
        self._tuned = tuned
        self._scope = Scope(graph, reserved)
        self._slices = joined_values(graph, can_be_part)
        self._joined = joined_results(graph, self._slices)
        self._settings: dict[tuple[str, ...], str] = {}
        self._tails: dict[tuple[object, ...], Tail] = {}
        self._kernels: dict[str, None] = {}
        self._scratch = 0
        self._launches: list[Launch] = []

    def run(self) -> Program:
        """Lower everything, the prelude first. What it exports is known once the rest is lowered."""
        graph, scope = self._graph, self._scope
        preparation = Preparation(graph, scope, self._reserved, self._lowered)
        preparation.lower()
        forward = self._forward()
        results = tuple(scope.text(aligned(value, value.type.rank, FIRST)) for value in graph.outputs)
        buffers, arena, least = self._place()
        parts = tuple(Part(v.name, v.type, at.whole.name, at.start) for v, at in reversed(self._slices.items()))
        used = tuple(dict.fromkeys((*self._kernels, *scope.packs)))
        kernels = tuple(Kernel(name, f"{name}.py.j2") for name in used)
        return Program(
            Plan(
                graph.name,
                "numpy",
                self._dtype,
                arena,
                buffers,
                kernels,
                tuple(preparation.launches),
                tuple(self._launches),
                parts,
                least,
            ),
            tuple((name, value) for value, name in scope.inputs.items()),
            tuple((name, items) for items, name in self._settings.items()),
            (*map(self._allocation, buffers), *map(self._share, parts)),
            self._scratch,
            used,
            preparation.recipes,
            tuple(self._tails.values()),
            preparation.layers(),
            forward,
            tuple(f"self.{scope.buffer(value.name)}" for value in graph.inputs),
            results,
        )

    def _forward(self) -> tuple[Layer, ...]:
        """All layers; the first of each block says which that is."""
        layers, before = [], ""
        for node in self._graph.nodes:
            layer, block = self._layer(node), node.name.rpartition(".")[0]
            layers.append(layer if block != before else replace(layer, note=""))
            before = block
        return tuple(layers)

    def _lowered(self, node: Node) -> tuple[Layer, Sequence[Launch]]:
        """A node of the prelude, with its launches, which are not those of the forward pass."""
        forward, self._launches = self._launches, []
        layer = self._layer(node)
        launches, self._launches = self._launches, forward
        return layer, launches

    # Memory.

    def _place(self) -> tuple[tuple[Buffer, ...], int, int]:
        """Buffers of all inputs and activations."""
        ranges = storage_ranges(self._graph, self._slices)
        sizes = [activation_bytes(item.value.type, self._dtype) for item in ranges]
        wanted = [(r.value.name, size, r.first, r.last) for r, size in zip(ranges, sizes, strict=True)]
        plan = plan_memory(wanted, alignment=ALIGNMENT)
        buffers = tuple(
            Buffer(r.value.name, r.value.type, plan.offsets[r.value.name], size)
            for r, size in zip(ranges, sizes, strict=True)
        )
        return buffers, plan.bytes, plan.lower_bound

    def _allocation(self, buffer: Buffer) -> str:
        rows = "n" if buffer.type.batch == 1 else f"{buffer.type.batch} * n"
        arguments = [str(buffer.offset), rows, *map(str, stored_shape(buffer.type))]
        if not buffer.type.dtype.is_float:
            arguments.append(f"dtype=np.{buffer.type.dtype.label}")
        return statement(f"self.{self._scope.buffer(buffer.name)}", "self._place", arguments, indent=8)

    def _share(self, part: Part) -> str:
        stop = part.start + stored_shape(part.type)[-1]
        whole = f"self.{self._scope.buffer(part.whole)}[..., {part.start}:{stop}]"
        return copy(f"self.{self._scope.buffer(part.name)}", whole, 8)

    # Layers.

    def _layer(self, node: Node) -> Layer:
        """A node as statements: those of its anchor, then, where the anchor's kernel does not do it, its chain."""
        place = place_of(node.span)
        note = ", ".join(filter(None, (comment(node.name.rpartition(".")[0]), place)))
        anchor, rest = _unfused(node)
        for value, weight in zip(anchor.weights, anchor.op.weights(_types(anchor)), strict=True):
            self._scope.called.setdefault(value, f"{node.name}.{weight.name}")
        result = anchor.outputs[0]
        if result in self._joined:
            return Layer(note, tuple(self._join(node)))
        stored = layout_of(result.type)
        operator = steps_of(anchor.op, anchor.inputs, result.type.rank, stored)
        if operator is not None:
            links = [Link(anchor.op.word, operator, (), anchor.inputs), *_links(rest, node, anchor, stored)]
            if self._scope.preparing or not is_shared_out(result.type):
                return Layer(note, tuple(self._elementwise(node, links)))
            return Layer(note, tuple(self._call(node, anchor, shared_out(result), links, stored)))
        measured = (self._tuned,) if isinstance(anchor.op, Conv) and self._tuned.path else ()
        lowered = LOWERINGS[type(anchor.op)](anchor.op, anchor, *measured)
        written: list[str] = []
        for call in lowered if isinstance(lowered, tuple) else (lowered,):
            layout = FIRST if isinstance(anchor.op, Fc) else LAST
            links = _links(rest, node, anchor, layout if call.tailed else stored, call.biased)
            written += self._call(node, anchor, call, links if call.tailed else [], layout)
        if not call.tailed:
            written += self._elementwise(node, links)
        return Layer(note, tuple(written))

    def _join(self, node: Node) -> list[str]:
        """A concat whose result holds its operands, or most of them: the others are copied."""
        result = node.outputs[0]
        target = self._scope.text(View(result))
        copied = left_to_copy(node, self._slices)
        self._launch(node, "copies" if copied else "in place", [View(value) for value in node.inputs], (View(result),))
        if not copied:
            return [f"# {target}: all its parts are where they belong."]
        assert isinstance(node.op, Concat)
        axis = node.op.axis  # weights lie channels first, and are turned
        written = []
        for value, start in copied:
            part = View(result).then(f"[..., {start}:{start + value.type.shape[axis]}]")
            source = aligned(value, value.type.rank, layout_of(result.type))
            written.append(self._do("np.copyto", [self._scope.text(part), self._scope.text(source)]))
        return written

    def _elementwise(self, node: Node, links: Sequence[Link]) -> list[str]:
        """A chain that works on whole arrays, printed where it stands."""
        result = node.outputs[0]
        target = self._scope.text(View(result))
        written = []
        for link in links:
            names: dict[int, Expression] = {i: self._scope.text(link.operator.inputs[i]) for i in link.others}
            if self._scope.preparing:
                made = () if link.carried else self._made(result, target, link.operator.steps, names)
                written += made or statements(link, names, target)
            elif link.carried:
                written.append(self._do(self._tail([link]), [target, *names.values()]))
            else:
                written += [self._do(s.function, operands(s, names, target)) for s in link.operator.steps]
            self._use(*(step.function for step in link.operator.steps))
            reads = tuple(link.operator.inputs[i] for i in link.others)
            self._launch(node, link.word, reads, (View(result),))
        return written

    def _made(self, result: Value, target: str, steps: Sequence[Step], names: dict[int, Expression]) -> list[str]:
        """An elementwise operator of the prelude, which has no buffers: NumPy's own functions make their results."""
        if not result.type.rank:  # what NumPy makes of arrays of no axis are numbers, which nothing can be written into
            lifted: dict[int, Expression] = {index: f"{name}[None]" for index, name in names.items()}
            lone = f"{target}[None]"
            return [self._empty(result), *(statement("", s.function, operands(s, lifted, lone)) for s in steps)]
        start, *later = steps
        if start.function.startswith("np.") and start.function not in RELATIONS.values():  # those make truth values
            made = [statement(target, start.function, operands(start, names, target, out=False))]
        else:
            made = [self._empty(result), statement("", start.function, operands(start, names, target))]
        return made + [statement("", step.function, operands(step, names, target)) for step in later]

    def _empty(self, value: Value) -> str:
        element = "DTYPE" if value.type.dtype.is_float else f"np.{value.type.dtype.label}"
        return statement(self._scope.text(View(value)), "np.empty", [literal(stored_shape(value.type)), element])

    def _call(self, node: Node, anchor: Node, call: Call, links: Sequence[Link], layout: Layout) -> list[str]:
        """A call of a kernel, with the chain as its tail."""
        scope, result = self._scope, anchor.outputs[0]
        reads = tail_reads(links, result, call, layout)
        function = self._tail(links) if links else ""
        kernel = f"{call.function} + {function}" if function else call.function
        self._launch(node, kernel, (*call.arguments, *reads), call.writes, call.spec, call.window)
        if scope.preparing and isinstance(anchor.op, Reshape):
            source = scope.text(aligned(anchor.inputs[0], anchor.inputs[0].type.rank, FIRST))
            return [statement(scope.text(View(result)), f"{source}.reshape", extents(anchor.op.to))]
        if call.returns:
            arguments = [scope.argument(argument) for argument in call.arguments]
            self._use(call.function)
            return [statement(scope.text(View(result)), call.function, [*arguments, *keywords(call.spec)])]
        made = [self._empty(view.value) for view in call.writes] if scope.preparing else []
        self._use(call.function)
        results = [scope.argument(view) for view in call.writes]
        if call.tailed:
            self._scratch = max(self._scratch, call.scratch)
            operands = ["b", *map(scope.argument, call.arguments[:1]), results[0], function or "None"]
            operands += self._constants(node, (*call.arguments[1:], *reads))
            noted = statement("", call.function, [*operands, *self._keywords(call)])
            return [*made, f"b = Crew({call.scratch})", noted, "b.run()"] if scope.preparing else [noted]
        arguments = [scope.argument(argument) for argument in call.arguments]
        if call.function == "np.copyto":
            return [*made, self._do(call.function, [*results, *arguments])]
        if len(results) == 1:
            return [*made, self._do(call.function, [*arguments, f"out={results[0]}", *self._keywords(call)])]
        return [*made, self._do(call.function, [*arguments, *results, *self._keywords(call)])]

    def _do(self, function: str, arguments: Sequence[Expression]) -> str:
        """A call, or in the forward pass a note of it."""
        return statement("", *((function, arguments) if self._scope.preparing else ("b.do", [function, *arguments])))

    def _constants(self, node: Node, read: Sequence[Argument]) -> list[Expression]:
        """The weight of a layer and the operands of its tail; what of that is constant comes first, as one bundle."""
        if self._scope.preparing:
            return [self._scope.argument(item) for item in read]
        views = [item for item in takewhile(self._scope.is_plain_weight, read) if isinstance(item, View)]
        return [*self._scope.bundle(node.name, tuple(views)), *map(self._scope.argument, read[len(views) :])]

    def _keywords(self, call: Call) -> list[str]:
        """The keyword arguments of a kernel; a window is a constant, with the block where there is one."""
        bound: list[Any] = [spec for spec in (call.window, call.spec) if hasattr(spec, "name")]
        given = list(keywords(call.spec)) if call.spec not in bound else []
        if not bound:
            return given
        items = tuple(f'"{x.name}": {literal(getattr(spec, x.name))}' for spec in bound for x in fields(spec))
        if items not in self._settings:
            self._settings[items] = self._scope.function("_".join(spec.name for spec in bound))
        return [*given, f"**{self._settings[items]}"]

    def _tail(self, links: Sequence[Link]) -> str:
        """The name of the generated function for a chain; equal chains share one."""
        self._use(*(step.function for link in links for step in link.operator.steps))
        made = tail(links)
        key = (made.parameters, made.body)
        if key not in self._tails:
            self._tails[key] = replace(made, name=self._scope.function(made.name))
        return self._tails[key].name

    def _use(self, *functions: str) -> None:
        for function in functions:
            if not function.startswith("np."):
                self._kernels.setdefault(function)

    def _launch(
        self,
        node: Node,
        kernel: str,
        reads: Sequence[object],
        writes: Sequence[View],
        spec: object = None,
        window: Window | None = None,
    ) -> None:
        names = []
        for read in reads:
            for item in read if isinstance(read, tuple) else (read,):
                view = item.view if isinstance(item, Broadcast) else item
                if isinstance(view, View):
                    names.append(view.value.name)
        written = tuple(view.value.name for view in writes)
        self._launches.append(
            Launch(kernel, node.name, tuple(names), written, writes[0].value.type, (spec, window), place_of(node.span))
        )


def _unfused(node: Node) -> tuple[Node, tuple[Node, ...]]:
    """A fused node's anchor as a node of its own that makes the whole result, and the nodes of the body after it."""
    if not isinstance(node.op, Fused):
        return node, ()
    body = node.op.body
    outer = _outer(node)
    anchor, *rest = body.nodes
    inputs = tuple(outer[value] for value in anchor.inputs)
    return replace(anchor, inputs=inputs, outputs=node.outputs, name=node.name), tuple(rest)


def _outer(node: Node) -> dict[Value, Value]:
    """What the inputs and parameters of a fused body are outside."""
    assert isinstance(node.op, Fused)
    inside = (*node.op.body.inputs, *(parameter.value for parameter in node.op.body.parameters))
    return dict(zip(inside, node.inputs, strict=True))


def _links(rest: Sequence[Node], node: Node, anchor: Node, layout: Layout, biased: bool = False) -> list[Link]:
    """The operators on an anchor's result, seen in the order of `layout`; a bias is the first, unless already added."""
    result = anchor.outputs[0]
    links = []
    if isinstance(anchor.op, Conv | UpConv | Fc) and anchor.op.bias and not biased:
        bias = anchor.inputs[2]
        addition = Elementwise((Step("np.add", (Operand(0), Operand(1))),), (View(result), View(bias)), ("bias",))
        links.append(Link("bias", addition, (0,), (result, bias)))
    outer = _outer(node) if rest else {}
    before = node.op.body.nodes[0].outputs[0] if isinstance(node.op, Fused) else None
    for item in rest:
        carried = tuple(index for index, value in enumerate(item.inputs) if value is before)
        values = tuple(outer.get(value, result) for value in item.inputs)
        operator = steps_of(item.op, values, result.type.rank, layout)
        if operator is None:
            raise AssertionError(f"{item.op.word} is not elementwise, but part of a tail")
        links.append(Link(item.op.word, operator, carried, values))
        before = item.outputs[0]
    return links


def _types(node: Node) -> tuple[TensorType, ...]:
    return tuple(value.type for value in node.operands)
