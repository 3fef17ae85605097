"""Reading and writing safetensors files. The header is checked whole before anything is allocated.

The format (github.com/huggingface/safetensors): eight bytes of header length, little endian; the header, a JSON object
from names to `{"dtype", "shape", "data_offsets"}`; the bytes of the tensors, without gaps. This reader is ours because
it must also refuse what the format's own reader lets pass, such as one name given twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from netdsl import codes, files
from netdsl.diagnostics import Code, Diagnostic, NetError
from netdsl.limits import DEFAULT_LIMITS, Limits

Array = NDArray[Any]

STORED: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # the bits; NumPy has no bfloat16
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
"""Element types by the format's names, as they lie in the file."""

_ARCHIVE = b"PK\3\4"
"""How a zip file begins: what `torch.save` and `numpy.savez` write."""


class Entry(NamedTuple):
    """One tensor of a header: its bytes are `begin:end` of what follows the header."""

    name: str
    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read(
    source: str | Path | bytes, dtype: DTypeLike | None = None, limits: Limits = DEFAULT_LIMITS
) -> dict[str, Array]:
    """The tensors of a safetensors file, by path or as its bytes, in the order in which they lie in it.

    bfloat16 comes as float32, which is exact. With `dtype`, every tensor of real numbers is converted to it.
    Raises NetError: E0601 (cannot be read), E0505 (not a whole and honest safetensors file), E0906 and E0907 (limits).
    """
    if isinstance(source, bytes):
        return _read(BytesIO(source), len(source), "the file", dtype, limits)
    try:
        with files.opened(str(source)) as file:
            return _read(file, os.fstat(file.fileno()).st_size, str(source), dtype, limits)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _error(f"cannot read {source}: {files.reason(error)}", codes.CANNOT_READ) from None


def write(path: str | Path, tensors: Mapping[str, Array], *, force: bool = False) -> None:
    """Write a safetensors file, whole or not at all; an existing one is replaced only with `force`.

    Raises NetError: E0602 (cannot be written), E0610 (exists), E0504 (an element type that the format does not have).
    """
    files.write(str(path), pack(tensors), objection=files.maybe_trained, force=force)


def pack(tensors: Mapping[str, Array]) -> bytes:
    """The bytes of a safetensors file; equal tensors give equal bytes, in whatever order they come. Raises E0504."""
    kinds = {stored: kind for kind, stored in STORED.items() if kind != "BF16"}
    plain = {name: tensor.astype(tensor.dtype.newbyteorder("<"), copy=False) for name, tensor in tensors.items()}
    wrong = [f"`{shown(name)}` holds {array.dtype}" for name, array in plain.items() if array.dtype not in kinds]
    if wrong:
        raise NetError(Diagnostic(codes.WEIGHT_DTYPE, f"{what}, which safetensors files do not have") for what in wrong)
    # Wide elements first, so that every tensor lies aligned to its own elements.
    names = sorted(plain, key=lambda name: (-plain[name].itemsize, name))
    header: dict[str, dict[str, object]] = {}
    end = 0
    for name in names:
        array = plain[name]
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": kinds[array.dtype], "shape": array.shape, "data_offsets": (begin, end)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *(plain[name].tobytes() for name in names)])


def shown(text: str) -> str:
    """A text from a file as messages show it: shortened, and without what a terminal would obey or could not print."""
    text = text if len(text) <= 80 else text[:77] + "..."
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def _read(file: BinaryIO, size: int, name: str, dtype: DTypeLike | None, limits: Limits) -> dict[str, Array]:
    tensors = {}
    for entry in _entries(file, size, name, limits):
        stored = np.empty(entry.shape, STORED[entry.kind])
        if file.readinto(stored.reshape(-1).view(np.uint8).data) != entry.end - entry.begin:  # type: ignore[attr-defined]
            raise _error(f"{name} ends early: it became shorter while it was read")
        if entry.kind == "BF16":
            stored = (stored.astype("<u4") << 16).view("<f4")
        tensor = stored.astype(stored.dtype.newbyteorder("="), copy=False)
        tensors[entry.name] = tensor.astype(dtype, copy=False) if dtype and tensor.dtype.kind == "f" else tensor
    return tensors


def _entries(file: BinaryIO, size: int, name: str, limits: Limits) -> list[Entry]:
    """The tensors of a file in the order of their bytes, which follow each other without gap or overlap to its end."""
    if size < 8:
        raise _error(f"{name} is not a safetensors file: it has {size} bytes, and the length of its header takes 8")
    start = file.read(8)
    if start.startswith(_ARCHIVE):
        message = f"{name} is an archive, as `torch.save` writes, and not a safetensors file"
        raise _error(message, help=f"`netdsl import {name} --into FILE.net -o W.safetensors` reads it")
    length = int.from_bytes(start, "little")
    room = size - 8 - length
    if room < 0:
        raise _error(f"{name} ends early or is not a safetensors file: its header is to take {length} of {size} bytes")
    if length > limits.weight_header_bytes:
        message = f"the header of {name} takes {length} bytes; at most {limits.weight_header_bytes} are read"
        raise _error(message, codes.WEIGHT_HEADER_TOO_LARGE)
    if room > limits.weight_bytes:
        message = f"the tensors of {name} take {room} bytes; at most {limits.weight_bytes} are read"
        raise _error(message, codes.WEIGHTS_TOO_LARGE)
    header = _parse(file.read(length), name)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise _error(f"the metadata of {name} is not a map from names to texts")
    entries = [_entry(key, value, name, limits) for key, value in header.items()]
    entries.sort(key=lambda entry: (entry.begin, entry.end))
    at = 0
    for entry in entries:
        where = f"`{shown(entry.name)}` in {name}"
        if entry.end > room:
            raise _error(f"{name} ends early: {where} is to end at byte {entry.end} of {room}")
        if entry.begin != at:
            what = "overlaps the tensor before it" if entry.begin < at else "leaves a gap before it"
            raise _error(f"{where} {what}: it begins at byte {entry.begin}, not at {at}")
        at = entry.end
    if at != room:
        raise _error(f"{name} has bytes that no tensor owns: its tensors take {at} bytes of {room}")
    return entries


def _parse(text: bytes, name: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise _error(f"the header of {name} has `{shown(twice)}` twice")
        return result

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        header = json.loads(text.decode(), object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else shown(str(error))
        raise _error(f"the header of {name} is not valid JSON: {reason}") from None
    if not isinstance(header, dict):
        raise _error(f"the header of {name} is not a JSON object")
    return header


def _entry(key: str, value: Any, name: str, limits: Limits) -> Entry:
    where = f"`{shown(key)}` in {name}"
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise _error(f"{where} does not have exactly a dtype, a shape and data_offsets")
    kind, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(kind, str) or kind not in STORED:
        raise _error(f"{where} has the unknown element type {shown(str(kind))}")
    if not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2:
        raise _error(f"{where} has a shape or offsets that are not lists of whole numbers from 0 up")
    # Extents of 0 do not excuse the others: 0 x 2^62 holds nothing and still cannot be made.
    if len(shape) > limits.rank or prod(max(extent, 1) for extent in shape) > limits.tensor_elements:
        raise _error(f"{where} has the shape {shown('x'.join(map(str, shape)))}, which is beyond every limit")
    begin, end = offsets
    wanted = prod(shape) * STORED[kind].itemsize
    if end - begin != wanted:
        raise _error(f"{where} takes {wanted} bytes by its shape and {end - begin} by its offsets")
    return Entry(key, kind, tuple(shape), begin, end)


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _error(message: str, code: Code = codes.WEIGHT_FILE, help: str | None = None) -> NetError:
    return NetError((Diagnostic(code, message, help=help),))
