"""A model file as a checked protocol buffer: whole, bounded, in order, without a cycle.

The file is walked field by field before it is parsed, so that what is cut off or no model at all is refused without
being read. Initializers are held against their own extents before anything is made of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from math import prod
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netdsl import codes, extras, files
from netdsl.diagnostics import Code, NetError
from netdsl.files import refuse
from netdsl.limits import Limits
from netdsl.tensorfile import shown

Array = NDArray[Any]

GRAPH, FLOAT16, BFLOAT16 = 7, 10, 16
"""The field of a model that holds its graph, and two element types whose numbers are kept as bits."""

DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("u1"),
    3: np.dtype("i1"),
    4: np.dtype("<u2"),
    5: np.dtype("<i2"),
    6: np.dtype("<i4"),
    7: np.dtype("<i8"),
    9: np.dtype("?"),
    FLOAT16: np.dtype("<f2"),
    11: np.dtype("<f8"),
    12: np.dtype("<u4"),
    13: np.dtype("<u8"),
    BFLOAT16: np.dtype("<u2"),
}
"""Element types by ONNX's numbers, as they lie in a file; bfloat16 by its bits."""

LISTS = {1: "float_data", 7: "int64_data", 11: "double_data", 12: "uint64_data", 13: "uint64_data"}
"""Which list holds the numbers of a tensor that has no raw bytes; the others use `int32_data`."""


class Model(NamedTuple):
    """A parsed model and the folder that its external data lies in."""

    proto: Any
    name: str
    folder: str
    limits: Limits


def import_onnx() -> Any:
    """The onnx package. Raises NetError (E0702) where it is missing."""
    return extras.load("onnx", "reading a model")


def read_model(path: str, limits: Limits) -> Model:
    """A model from its file. Raises NetError: E0601 (unreadable), E0801 (not a whole model), E09 (limits)."""
    onnx = import_onnx()
    try:
        with files.opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > limits.weight_bytes:
                message = f"{path} takes {size} bytes; at most {limits.weight_bytes} are read"
                raise refuse(codes.WEIGHTS_TOO_LARGE, message)
            _walk(file, size, path)
            file.seek(0)
            data = file.read()
    except (OSError, ValueError) as error:
        raise refuse(codes.CANNOT_READ, f"cannot read {path}: {files.reason(error)}") from None
    return parse_model(onnx, data, path, os.path.dirname(path) or ".", limits)


def parse_model(onnx: Any, data: bytes, name: str, folder: str, limits: Limits) -> Model:
    """A model from its bytes, with the errors of `read_model`."""
    from google.protobuf.message import DecodeError

    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except (DecodeError, ValueError, RuntimeError):
        raise malformed(f"{name} is not a whole ONNX model: its protocol buffer does not parse") from None
    if len(proto.graph.node) > limits.layers:
        message = f"{name} has {len(proto.graph.node)} nodes; at most {limits.layers} are read"
        raise refuse(codes.TOO_MANY_LAYERS, message, "raise the limit with `--limit layers=N`")
    outside = (item.dims for item in proto.graph.initializer if item.data_location)
    size = sum(4 * prod(max(extent, 0) for extent in dims) for dims in outside)
    if size > limits.weight_bytes:  # many tensors may point at one file
        message = f"{name} has {size} bytes of external data; at most {limits.weight_bytes} are read"
        raise refuse(codes.WEIGHTS_TOO_LARGE, message)
    if not proto.graph.output:
        raise malformed(f"{name} has no graph with outputs")
    return Model(proto, name, folder, limits)


def malformed(message: str) -> NetError:
    """A file that breaks ONNX's own rules (E0801)."""
    return refuse(codes.BAD_MODEL, message)


def in_order(nodes: Iterable[Any], known: set[str], where: str) -> list[Any]:
    """The nodes, each after those that make its inputs. Raises NetError (E0801): undefined, twice defined, a cycle."""
    listed = list(nodes)
    makers: dict[str, int] = {}
    for index, node in enumerate(listed):
        for name in filter(None, node.output):
            if name in makers or name in known:
                raise malformed(f"{where}: two nodes make `{shown(name)}`, the second is {called(node)}")
            makers[name] = index
    missing: dict[int, int] = {}
    readers: dict[int, list[int]] = {}
    for index, node in enumerate(listed):
        names = {name for name in needs(node) if name and name not in known}
        for name in names - makers.keys():
            raise malformed(f"{where}: {called(node)} reads `{shown(name)}`, which nothing makes")
        before = {makers[name] for name in names}
        missing[index] = len(before)
        for maker in before:
            readers.setdefault(maker, []).append(index)
    ready = [index for index, count in missing.items() if not count]  # a heap: the order of the file where it serves
    result = []
    while ready:
        index = heappop(ready)
        result.append(listed[index])
        for reader in readers.get(index, ()):
            missing[reader] -= 1
            if not missing[reader]:
                heappush(ready, reader)
    if len(result) < len(listed):
        first = next(listed[index] for index, count in missing.items() if count)
        raise malformed(f"{where}: the nodes go in a circle, in which or behind which lies {called(first)}")
    return result


def needs(node: Any) -> Iterator[str]:
    """The values that a node reads, those of its subgraphs among them."""
    yield from node.input
    for attribute in node.attribute:
        if attribute.HasField("g"):
            graph = attribute.g
            own = {value.name for value in (*graph.input, *graph.initializer)}
            for inner in graph.node:
                yield from (name for name in needs(inner) if name not in own)
                own.update(inner.output)


def called(node: Any) -> str:
    """A node as messages name it: by its name, or by what it makes."""
    name = node.name or next(filter(None, node.output), "")
    return f"node `{shown(name)}` ({shown(node.op_type)})"


def tensor(proto: Any, model: Model, what: str = "") -> Array:
    """The numbers of a tensor, in the machine's byte order; half precision as float32.

    Raises NetError: E0801 (its bytes and extents disagree, or its type is unknown), E0804 (external data), E0905.
    """
    name = what or f"the tensor `{shown(proto.name)}`"
    dims = tuple(proto.dims)
    if any(extent < 0 for extent in dims):
        raise malformed(f"{name} has a negative extent: {dims}")
    if len(dims) > 64 or prod(max(extent, 1) for extent in dims) > model.limits.tensor_elements:
        extents = shown("x".join(map(str, dims)))
        message = f"{name} is {extents}; at most {model.limits.tensor_elements} elements are allowed"
        raise refuse(codes.TENSOR_TOO_LARGE, message)
    dtype = DTYPES.get(proto.data_type)
    if dtype is None:
        raise malformed(f"{name} has elements of type {proto.data_type}, which are no numbers that netdsl reads")
    flat = _numbers(proto, dtype, prod(dims), name, model)
    if proto.data_type == BFLOAT16:
        flat = (flat.astype("<u4") << 16).view("<f4")
    elif proto.data_type == FLOAT16:
        flat = flat.astype(np.float32)
    return flat.astype(flat.dtype.newbyteorder("="), copy=False).reshape(dims)


def _numbers(proto: Any, dtype: np.dtype[Any], count: int, name: str, model: Model) -> Array:
    size = count * dtype.itemsize
    if proto.data_location == 1:
        return np.frombuffer(_external(proto, size, name, model), dtype)
    if proto.HasField("raw_data"):
        if len(proto.raw_data) != size:
            raise malformed(f"{name} has {len(proto.raw_data)} bytes, but its extents take {size}")
        return np.frombuffer(proto.raw_data, dtype)
    listed = getattr(proto, LISTS.get(proto.data_type, "int32_data"))
    if len(listed) != count:
        raise malformed(f"{name} has {len(listed)} numbers, but its extents take {count}")
    numbers = np.array(listed, np.float64 if dtype.kind == "f" and proto.data_type != FLOAT16 else None)
    if proto.data_type in (FLOAT16, BFLOAT16):  # kept as bits in `int32_data`
        return numbers.astype("<u2").view(dtype)
    return numbers.astype(dtype)


def _external(proto: Any, size: int, name: str, model: Model) -> bytes:
    """Bytes from a file beside the model: inside its folder, links resolved first."""
    entries = {entry.key: entry.value for entry in proto.external_data}
    location = entries.get("location", "")
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", str(size)))
    except ValueError:
        raise _outside(f"{name} has an offset or a length of external data that is no number") from None
    root = os.path.realpath(model.folder)
    try:
        target = os.path.realpath(os.path.join(root, location))
        inside = os.path.commonpath((root, target)) == root
    except ValueError:
        inside = False
    if not inside or not location or os.path.isabs(location):
        raise _outside(f"{name} has its data in {shown(location)!r}, which leads out of the model's folder")
    if offset < 0 or length != size:
        raise malformed(f"{name} has {length} bytes at {offset} of {shown(location)}, but its extents take {size}")
    try:
        with files.opened(target) as file:
            if os.fstat(file.fileno()).st_size < offset + length:
                raise malformed(f"{name} ends behind the end of {shown(location)}")
            file.seek(offset)
            return file.read(length)
    except (OSError, ValueError) as error:
        raise _outside(f"cannot read {shown(location)}, the data of {name}: {files.reason(error)}") from None


def _outside(message: str, code: Code = codes.EXTERNAL_DATA) -> NetError:
    return refuse(code, message)


def _walk(file: BinaryIO, size: int, name: str) -> None:
    """Check that a file is a sequence of whole fields, one of them the graph, reading their headers alone."""
    at, graphs = 0, 0
    while at < size:
        file.seek(at)
        head = file.read(20)
        key, used = _varint(head, 0)
        field, wire = key >> 3, key & 7
        value, end = _varint(head, used)
        widths = {0: end, 1: used + 8, 2: end + value, 5: used + 4}
        if not used or not field or field > 1000 or wire not in widths or (wire in (0, 2) and not end):
            raise malformed(f"{name} is not an ONNX model: no field of a protocol buffer begins at byte {at}")
        graphs += field == GRAPH
        at += widths[wire]
        if at > size:
            raise malformed(f"{name} ends early: a field is to end at byte {at} of {size}")
    if graphs != 1:
        raise malformed(f"{name} is not an ONNX model: it holds {graphs or 'no'} graphs")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends; 0 where it does not end."""
    value = 0
    for index in range(at, min(at + 10, len(data))):
        value |= (data[index] & 127) << 7 * (index - at)
        if data[index] < 128:
            return value, index + 1
    return value, 0
