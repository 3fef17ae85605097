"""A graph and its weights as an ONNX model.

Layers keep their names as node names and weights theirs as initializers. Of several nodes that make up one layer, the
one that makes its first result has the layer's name. Every tensor that depends on the sample has a first axis N of any
extent.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from netdsl import __version__, codes, files
from netdsl.diagnostics import Diagnostic, Label, NetError
from netdsl.ir.graph import Graph, Node, Value
from netdsl.onnx.write.operators import AS_IS, LOWERINGS, UNSUPPORTED
from netdsl.onnx.write.site import Site
from netdsl.tensor import DType, TensorType
from netdsl.weights import check_weights

OPSET = 21
"""Of 2024: new enough for Gelu, old enough for every runtime that is kept up."""
IR_VERSION = 10
"""The one that came with it."""
ELEMENTS = {DType.FLOAT32: np.float32, DType.FLOAT16: np.float16}
MOST_BYTES = 2**31 - 2**26
"""Weights that a model holds itself: a protocol buffer has 2 GiB at most, and the graph takes some of them."""
BESIDE = ".data"
PRODUCER = "netdsl"
MARK = bytes((0x08, IR_VERSION, 0x12, len(PRODUCER))) + PRODUCER.encode()
"""How every model that is written here begins: its IR version, its producer."""


def foreign(content: bytes) -> str | None:
    """The objection to replacing a file that netdsl did not write."""
    return None if content.startswith(MARK) else files.foreign(content)


def export(graph: Graph, weights: Mapping[str, Any], dtype: DType = DType.FLOAT32) -> bytes:
    """The bytes of an ONNX model that computes `graph` with `weights`, in float32 or float16.

    Raises NetError: E0501 to E0504 (weights), E0703 (the dtype), E0704 (an operator), E0907 (more than 2 GiB).
    """
    data: bytes = model_of(graph, weights, dtype).SerializeToString(deterministic=True)
    return data


def save(
    path: str, graph: Graph, weights: Mapping[str, Any], dtype: DType = DType.FLOAT32, *, force: bool = False
) -> tuple[str, ...]:
    """Write a model; weights that one file cannot hold lie beside it, in `<path>.data`. The paths of what was written.

    Both files are written, or neither. Raises NetError: what `export` raises but E0907, and E0602, E0610.
    """
    beside = f"{path}{BESIDE}"
    ours = os.path.isfile(path) and foreign(files.read(path, files.LOOKED_AT)) is None
    if _size(graph, dtype) <= MOST_BYTES:
        files.write(path, export(graph, weights, dtype), objection=foreign, force=force)
        return (path,)
    files.check_free(path, objection=foreign, force=force)
    model = model_of(graph, weights, dtype, os.path.basename(beside))
    had = os.path.lexists(beside)
    parts = (_stored(weights[parameter.value.name], dtype) for parameter in graph.parameters)
    files.write(beside, parts, objection=files.foreign, force=force or ours)
    try:
        files.write(path, model.SerializeToString(deterministic=True), objection=foreign, force=force)
    except BaseException:
        if not had:
            with suppress(OSError):
                os.unlink(beside)
        raise
    return path, beside


def model_of(
    graph: Graph, weights: Mapping[str, Any], dtype: DType = DType.FLOAT32, beside: str | None = None
) -> ModelProto:
    """The model that `export` writes; with `beside`, its weights lie in the file of that name."""
    _check(graph, dtype)
    arrays = {name: np.asarray(array) for name, array in weights.items()}
    check_weights(graph, arrays)
    element = np.dtype(ELEMENTS[dtype])
    if beside is None and _size(graph, dtype) > MOST_BYTES:
        message = f"an ONNX file holds at most {MOST_BYTES} bytes; the weights of {graph.name} take more"
        raise NetError((Diagnostic(codes.WEIGHTS_TOO_LARGE, message),))
    if beside is None:
        initializers = [_initializer(p.value.name, arrays[p.value.name], element) for p in graph.parameters]
    else:
        initializers = list(_elsewhere(graph, element, beside))
    writer = _Writer(graph, element)
    for node in graph.walk():
        writer.layer(node)
    writer.results()
    return helper.make_model(
        helper.make_graph(
            writer.nodes,
            graph.name,
            [writer.declared(value.name, value.type) for value in graph.inputs],
            [writer.declared(name, value.type) for name, value in writer.outputs],
            [*initializers, *writer.constants],
            value_info=writer.known,
        ),
        producer_name=PRODUCER,
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )


def _check(graph: Graph, dtype: DType) -> None:
    found = []
    if dtype not in ELEMENTS:
        message = f"ONNX models are written in {' or '.join(d.label for d in ELEMENTS)}, not in {dtype.label}"
        found.append(Diagnostic(codes.UNSUPPORTED_DTYPE, message))
    for node in graph.walk():
        if type(node.op) not in LOWERINGS:
            why = UNSUPPORTED.get(type(node.op), "passes make it, and export takes a graph as it was elaborated")
            label = Label(node.span) if node.span else None
            message = f"ONNX cannot say {node.op.word}: {why}"
            found.append(Diagnostic(codes.UNSUPPORTED_OPERATOR, message, label, frame=node.frame))
    if found:
        raise NetError(found)


def _initializer(name: str, array: NDArray[Any], element: np.dtype[Any]) -> TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(array, element).reshape(array.shape), name)


def _elsewhere(graph: Graph, element: np.dtype[Any], beside: str) -> Iterator[TensorProto]:
    """Weights as places in another file, one after the other."""
    offset = 0
    for parameter in graph.parameters:
        type = parameter.value.type
        tensor = TensorProto(name=parameter.value.name, dims=type.shape, data_location=TensorProto.EXTERNAL)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(element)
        length = element.itemsize * type.size
        for key, value in (("location", beside), ("offset", str(offset)), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)
        offset += length
        yield tensor


def _stored(weight: Any, dtype: DType) -> memoryview:
    """The bytes of a weight, as ONNX stores them."""
    return np.ascontiguousarray(weight, np.dtype(ELEMENTS[dtype]).newbyteorder("<")).reshape(-1).view(np.uint8).data


def _size(graph: Graph, dtype: DType) -> int:
    """Bytes of the weights."""
    return np.dtype(ELEMENTS.get(dtype, np.float32)).itemsize * sum(p.value.type.size for p in graph.parameters)


class _Writer:
    """Writes layer by layer. `outputs` pairs the names of the results with their values."""

    def __init__(self, graph: Graph, element: np.dtype[Any]) -> None:
        self.element = element
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.known: list[ValueInfoProto] = []
        fixed = {value: value.name for value in (*graph.inputs, *(p.value for p in graph.parameters))}
        self._names = dict(fixed)
        self.outputs: list[tuple[str, Value]] = []
        taken = set(fixed.values())
        for name, value in graph.results:
            unique = f"{name}/result" if name in taken else name
            taken.add(unique)
            self.outputs.append((unique, value))
            self._names.setdefault(value, unique)
        for value in (value for node in graph.walk() for value in node.outputs):
            self._names.setdefault(value, f"{value.name}/value" if value.name in taken else value.name)

    def name(self, value: Value) -> str:
        """What a value is called in the model: as in the graph, but a result as the net's `output` calls it."""
        return self._names[value]

    def layer(self, node: Node) -> None:
        """Write one layer."""
        op = node.op
        as_is = isinstance(op, AS_IS)
        types = tuple(value.type for value in node.operands)
        results = tuple(value.type for value in node.outputs)
        site = Site(node.name, types, results, self.element)
        operands = [
            self.name(value)
            if as_is or value.type.batch
            else site("Unsqueeze", self.name(value), site.ints("axes", [0]))
            for value in node.operands
        ]
        written = LOWERINGS[type(op)](op, site, *operands, *map(self.name, node.weights))
        values = written if isinstance(written, tuple) else (written,)
        if not as_is and not results[0].batch:
            values = tuple(site("Squeeze", value, site.ints("axes", [0])) for value in values)
        site.finish(values, [self.name(value) for value in node.outputs])
        self.nodes += site.nodes
        self.constants += site.constants
        outputs = {value for _, value in self.outputs}
        self.known += [self.declared(self.name(value), value.type) for value in node.outputs if value not in outputs]

    def results(self) -> None:
        """Copy what must be a result under a name that its own layer could not take."""
        for name, value in self.outputs:
            if name != self.name(value):
                self.nodes.append(helper.make_node("Identity", [self.name(value)], [name], name=f"{name}/Identity"))

    def declared(self, name: str, type: TensorType) -> ValueInfoProto:
        """Name, element type and shape of a tensor."""
        element = self.element if type.dtype.is_float else np.dtype(type.dtype.label)
        rows: Iterable[str | int] = () if not type.batch else ("N" if type.batch == 1 else f"{type.batch}*N",)
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(element), (*rows, *type.shape))
