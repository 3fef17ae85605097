"""Node by node, in order: what cannot be expressed is reported, all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from netdsl import codes
from netdsl.diagnostics import Diagnostic, NetError
from netdsl.files import refuse
from netdsl.onnx.idioms.rules import said_again
from netdsl.onnx.read.align import grouped, over_batch
from netdsl.onnx.read.call import Call, Operand
from netdsl.onnx.read.file import Model, called, import_onnx, in_order, malformed, tensor
from netdsl.onnx.read.fold import fold
from netdsl.onnx.read.loop import ONLY_NMS, kept_boxes
from netdsl.onnx.read.net import Net, sayable
from netdsl.onnx.read.nodes import bound, places_in_tables, wanted
from netdsl.onnx.read.ports import Extent, Port, Reading
from netdsl.onnx.read.table import READERS
from netdsl.onnx.read.values import BATCH, Array, Extents, Known, Poison, Reserved, Unreadable, View
from netdsl.ops.base import ShapeError
from netdsl.tensor import DType, TensorType
from netdsl.tensorfile import shown

BATCHES = (1009, 1013)
"""Two sizes that stand for any batch: primes, so that no other extent is a multiple of them by chance."""

STANDARD = ("", "ai.onnx")
CALLS = 5_000
"""Calls of functions, those inside functions among them: what doubles at each level is refused in time."""


class Reader:
    """Reads one model once, under one reading of its first axis."""

    def __init__(
        self,
        model: Model,
        name: str,
        inputs: Mapping[str, tuple[Extent, ...]],
        constants: Mapping[str, Array],
        *,
        batched: bool,
    ) -> None:
        self.model = model
        self.found: list[Diagnostic] = []
        self.values: dict[str, View | Known | Poison] = {}
        self._onnx = import_onnx()
        self._batched = batched
        first = next((extents[0] for extents in inputs.values() if len(extents) > 1), 1)
        batches = BATCHES if any(extents and extents[0] is None for extents in inputs.values()) else (first or 1,)
        self.net = Net(name, batches if batched else (1,), model.limits)
        self._opsets = {item.domain: item.version for item in model.proto.opset_import}
        self._functions = {(f.domain, f.name): f for f in model.proto.functions}
        self._expanded = 0
        self._open: list[tuple[str, str]] = []
        self._wanted: set[str] | None = wanted(model.proto.graph)
        self._places = places_in_tables(model.proto.graph)
        for key, array in constants.items():
            self.values[key] = Known(np.asarray(array), None, key)
        self.inputs = tuple(self._input(key, extents) for key, extents in inputs.items())

    def _input(self, name: str, extents: tuple[Extent, ...]) -> Port:
        batch = extents[0] if extents else 1
        mine = len(extents) > 1 and (batch is None or (batch,) == self.net.batches)
        batched = self._batched and (mine or batch is None)
        shape = tuple(extent or 1 for extent in (extents[1:] if batched else extents))
        label = self.net.unique(name.replace(".", "_"))
        if name in self._places:
            type = TensorType(shape, DType.INT64)
        else:
            type = TensorType(shape or (1,))  # a single number is one element
        value = self.net.builder.input(label, type)
        axes: list[tuple[int, ...]] = [(index,) for index in range(len(shape))]
        self.values[name] = View(
            value, value.type.shape, ((BATCH,), *axes) if batched else tuple(axes), self._is_whole(name)
        )
        return Port(name, label, 0 if batched else None)

    def _is_whole(self, name: str) -> bool:
        kind = next(value.type.tensor_type.elem_type for value in self.model.proto.graph.input if value.name == name)
        return kind not in (1, 10, 11, 16)

    def run(self) -> Reading:
        """Read all nodes, then the outputs. Raises NetError with everything that could not be expressed."""
        model = self.model.proto.graph
        for item in model.initializer:
            if item.name in self.values:
                raise malformed(f"{self.model.name}: `{shown(item.name)}` is given twice")
            self.values[item.name] = self._initializer(item)
        for item in model.sparse_initializer:
            self._refuse(f"the initializer `{shown(item.values.name)}`", "sparse tensors are not read")
            self.values[item.values.name] = Poison()
        self._nodes(model.node, "")
        outputs = [self._output(value.name) for value in model.output]
        if self.found:
            raise NetError(self.found)
        ports = []
        for value, (port, view) in zip(model.output, outputs, strict=True):
            assert port is not None
            assert view is not None
            self.net.builder.result(port.name, view)
            ports.append(replace(port, onnx=value.name))
        graph, weights = said_again(self.net.builder.finish(), self.net.weights)
        return Reading(graph, weights, self.inputs, tuple(ports))

    def _initializer(self, item: Any) -> Known | Poison:
        if item.data_type == 8:
            self._refuse(f"the initializer `{shown(item.name)}`", "it holds texts")
            return Poison()
        return Known(tensor(item, self.model), None, item.name)

    def _nodes(self, nodes: Sequence[Any], prefix: str) -> None:
        for node in in_order(nodes, set(self.values), self.model.name):
            self._node(node, prefix)

    def _node(self, node: Any, prefix: str) -> None:
        operands = [self.values[name] if name else None for name in node.input]
        if any(isinstance(operand, Poison) for operand in operands):
            results: Sequence[Any] = [Poison()] * len(node.output)
        else:
            try:
                results = self._read(node, [operand for operand in operands if not isinstance(operand, Poison)], prefix)
            except (Unreadable, ShapeError) as error:
                code = codes.MODEL_SHAPES if isinstance(error, ShapeError) else codes.NOT_EXPRESSIBLE
                self._refuse(called(node), str(error), code, error.help if isinstance(error, ShapeError) else None)
                results = [Poison()] * len(node.output)
        for name, result in zip(node.output, results, strict=False):
            if name:
                self.values[name] = result

    def _read(self, node: Any, operands: Sequence[Operand | None], prefix: str) -> Sequence[Any]:
        call = Call(
            self.net,
            node.op_type,
            called(node),
            tuple(operands),
            tuple(node.input),
            tuple(name if self._wanted is None or name in self._wanted else "" for name in node.output),
            {item.name: self._attribute(item) for item in node.attribute},
            self._opsets.get(node.domain, self._opsets.get("", 1)),
        )
        self.net.here = prefix + (node.name or next(filter(None, node.output), node.op_type))
        function = self._functions.get((node.domain, node.op_type))
        if function is not None:
            return self._expand(node, function, prefix)
        if node.domain not in STANDARD:
            raise Unreadable(f"operators of the domain {shown(node.domain)} are not read")
        if node.op_type == "Constant":
            return [self._constant(call)]
        if node.op_type == "If":
            return self._branch(call, node, prefix)
        if node.op_type == "Loop":
            return self._loop(call)
        folded = fold(call)
        if folded is not None:
            return [over_batch(self.net, known) for known in folded]
        if any(isinstance(operand, Reserved) and call.op not in operand.takers for operand in operands):
            raise Unreadable("it takes places, or boxes with their samples, which the net does not number so")
        reader = READERS.get(node.op_type)
        if reader is None:
            body = self._body(node)
            if body is None:
                raise Unreadable("there is no operator like it in the language")
            return self._expand(node, body, prefix)
        result = reader(call)
        return result if isinstance(result, tuple) else (result,)

    def _attribute(self, item: Any) -> Any:
        kinds = self._onnx.AttributeProto
        simple = {kinds.INT: "i", kinds.FLOAT: "f", kinds.GRAPH: "g"}
        if item.type in simple:
            return getattr(item, simple[item.type])
        if item.type == kinds.STRING:
            return item.s.decode("utf-8", "replace")
        if item.type in (kinds.INTS, kinds.FLOATS):
            return tuple(item.ints if item.type == kinds.INTS else item.floats)
        if item.type == kinds.STRINGS:
            return tuple(text.decode("utf-8", "replace") for text in item.strings)
        if item.type == kinds.TENSOR and item.t.data_type != 8:
            return tensor(item.t, self.model, f"the attribute `{shown(item.name)}`")
        return None

    def _constant(self, call: Call) -> Known:
        for name, value in call.attributes.items():
            if name == "value" and isinstance(value, np.ndarray):
                return Known(value, None, call.outputs[0] if value.size > 1 else "")
            if name.startswith("value_") and isinstance(value, int | float | tuple):
                kind = np.int64 if name.startswith("value_int") else np.float32
                return Known(np.array(value, kind))
        raise Unreadable("its value is no tensor of numbers")

    def _branch(self, call: Call, node: Any, prefix: str) -> Sequence[Any]:
        condition = call.known(0).fixed("its condition")
        graph = call.attributes.get("then_branch" if condition.reshape(-1)[0] else "else_branch")
        if graph is None or isinstance(graph, int | float | str):
            raise malformed(f"{call.title} lacks a branch")
        self._count()
        saved = dict(self.values)
        self.values.update({item.name: self._initializer(item) for item in graph.initializer})
        self._nodes(graph.node, prefix)
        results = [self.values[value.name] for value in graph.output]
        self.values = saved
        return results

    def _loop(self, call: Call) -> Sequence[Any]:
        body = call.attributes.get("body")
        if body is None or isinstance(body, int | float | str) or not call.has(0) or not call.has(2):
            raise Unreadable(ONLY_NMS)
        constants = {item.name: self._initializer(item) for item in body.initializer}
        return kept_boxes(call, body, {**self.values, **constants})

    def _body(self, node: Any) -> Any:
        """The definition of an operator by simpler ones, where ONNX has one."""
        defs = self._onnx.defs
        version = self._opsets.get("", self._opsets.get("ai.onnx", 1))
        try:
            schema = defs.get_schema(node.op_type, version, "")
        except defs.SchemaError:
            return None
        proto = self._onnx.FunctionProto()
        if schema.has_function:
            text = schema.get_function_with_opset_version(schema.function_opset_versions[-1])
        elif schema.has_context_dependent_function:
            types = [self._type_of(name).SerializeToString() for name in node.input]
            versions = schema.context_dependent_function_opset_versions
            text = schema.get_context_dependent_function_with_opset_version(
                versions[-1], node.SerializeToString(), types
            )
        else:
            return None
        proto.ParseFromString(text)
        return proto

    def _type_of(self, name: str) -> Any:
        """An operand's type, as ONNX's definitions ask for it."""
        proto = self._onnx.TypeProto()
        value = self.values.get(name)
        if isinstance(value, View):
            proto.tensor_type.elem_type = 9 if value.whole else 1
            shape: Extents = value.shape(self.net.batches[0])
        elif isinstance(value, Known):
            proto.tensor_type.elem_type = self._onnx.helper.np_dtype_to_tensor_dtype(value.array.dtype)
            shape = value.array.shape
        else:
            return proto
        for extent in shape:
            proto.tensor_type.shape.dim.add().dim_value = extent
        return proto

    def _expand(self, node: Any, function: Any, prefix: str) -> Sequence[Any]:
        """The nodes of a function in place of a call."""
        self._count()
        called_by = (function.domain, function.name)
        if called_by in self._open:
            raise malformed(f"{self.model.name}: the function `{shown(function.name)}` calls itself")
        if len(self._open) == self.model.limits.nesting:
            message = f"{self.model.name} calls functions in functions more than {self.model.limits.nesting} deep"
            raise refuse(codes.NESTING_TOO_DEEP, message)
        saved, wanted = self.values, self._wanted
        given = {item.name: item for item in node.attribute}
        given = {**{item.name: item for item in function.attribute_proto}, **given}
        inputs = [saved[name] if name else None for name in node.input]
        inputs += [None] * (len(function.input) - len(inputs))
        self.values, self._wanted = {}, None
        absent = set()
        for name, value in zip(function.input, inputs, strict=False):
            if value is None:
                absent.add(name)
            else:
                self.values[name] = value
        here = self.net.here
        found = len(self.found)
        self._open.append(called_by)
        try:
            self._nodes([bound(inner, given, absent) for inner in function.node], f"{here}.")
            results = [self.values.get(name, Poison()) for name in function.output]
        finally:
            self.values, self._wanted = saved, wanted
            self._open.pop()
        if len(self.found) > found:
            reasons = [item.message.split(": ", 1)[-1] for item in self.found[found:]]
            del self.found[found:]
            raise Unreadable(f"in its definition by simpler operators, {reasons[0]}")
        return results

    def _count(self) -> None:
        self._expanded += 1
        if self._expanded > CALLS:
            raise refuse(codes.TOO_MANY_LAYERS, f"{self.model.name} calls functions more than {CALLS} times")

    def _output(self, name: str) -> tuple[Port, Any] | tuple[None, None]:
        value = self.values.get(name)
        if value is None:
            raise malformed(f"{self.model.name}: nothing makes the output `{shown(name)}`")
        if isinstance(value, Poison):
            return None, None
        title = f"the output `{shown(name)}`"
        if isinstance(value, Known):
            self._refuse(title, "it is the same for every input")
            return None, None
        if value.value.type.batch == 0:
            self._refuse(title, "it does not depend on the input")
            return None, None
        if isinstance(value, Reserved):
            self._refuse(title, "it numbers elements or samples otherwise than the net")
            return None, None
        value = grouped(self.net, value, value.rows) if value.rows > 1 else value
        place = value.batch_axis
        axes = [axis for axis in value.axes if axis != (BATCH,)]
        if place is not None and value.axes[place] != (BATCH,):
            if place or value.axes[0][0] != BATCH:
                self._refuse(title, "it mixes the batch with other extents")
                return None, None
            axes[0] = value.axes[0][1:]
        return Port(name, sayable(name.replace(".", "_")), place), self.net.arrange(value, axes)

    def _refuse(self, what: str, why: str, code: Any = codes.NOT_EXPRESSIBLE, help: str | None = None) -> None:
        self.found.append(Diagnostic(code, f"{what}: {why}", help=help))
