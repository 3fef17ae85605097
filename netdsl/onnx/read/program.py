"""From a model to a program and its weights: what `netdsl import` writes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath

from netdsl import files
from netdsl.codegen.artifact import MARK, VERSION, edited, sealed
from netdsl.codegen.names import comment
from netdsl.ir.graph import Graph
from netdsl.limits import DEFAULT_LIMITS, Limits
from netdsl.onnx.read.file import import_onnx, parse_model
from netdsl.onnx.read.model import read, read_parsed
from netdsl.onnx.read.ports import Port, Reading
from netdsl.onnx.read.values import Array, Extents
from netdsl.raising import raise_graph
from netdsl.tensorfile import pack


@dataclass(frozen=True)
class Imported:
    """A model as a program.

    text     the `.net` program.
    weights  its weights by name, float32.
    graph    what the program means.
    inputs   the model's inputs, and what they are in the program.
    outputs  the model's outputs, likewise.
    """

    text: str
    weights: Mapping[str, Array]
    graph: Graph
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def write(self, path: str | os.PathLike[str], *, force: bool = False) -> str:
        """Write the program, and its weights beside it; returns the path of the weights. Both are written, or neither.

        Raises NetError: E0610 where a file that was edited, or that netdsl did not make, would be replaced; E0602.
        """
        program = os.fspath(path)
        weights = weights_path(program)
        check_free(program, force=force)
        had = os.path.lexists(weights)
        files.write(weights, pack(self.weights), objection=files.maybe_trained, force=force)
        try:
            files.write(program, self.text.encode(), objection=edited, force=force)
        except BaseException:
            if not had:
                with suppress(OSError):
                    os.unlink(weights)
            raise
        return weights


def weights_path(program: str) -> str:
    """Where the weights of a program lie: beside it, under its name."""
    return f"{os.path.splitext(program)[0]}.safetensors"


def check_free(program: str, *, force: bool) -> None:
    """Refuse, before any work, what `write` would refuse (E0602, E0610)."""
    files.check_free(program, objection=edited, force=force)
    files.check_free(weights_path(program), objection=files.maybe_trained, force=force)


def import_file(
    path: str,
    shapes: Mapping[str, Extents] | None = None,
    constants: Mapping[str, Array] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Imported:
    """An ONNX file as a program; see `netdsl.onnx.read.model.read`."""
    name = PurePath(path).name
    return _raised(read(path, net_name(name), shapes, constants, limits), name)


def import_bytes(data: bytes, name: str, limits: Limits = DEFAULT_LIMITS) -> Imported:
    """A model that another library made just now."""
    model = parse_model(import_onnx(), data, name, os.curdir, limits)
    return _raised(read_parsed(model, net_name(name), {}, {}), name)


def net_name(file: str) -> str:
    """A net's name from a file's: letters and digits, the first a capital."""
    stem = file.rsplit(".", 1)[0]
    name = re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_")[:60]
    name = name[:1].upper() + name[1:]
    return name if name[:1].isalpha() else f"Net{name}"


def _raised(reading: Reading, source: str) -> Imported:
    program = raise_graph(reading.graph, reading.graph.name)
    head = f"{MARK}{VERSION} from {comment(source)}.\n"
    weights = {name: reading.weights[original] for name, original in program.weights.items()}
    inputs = _renamed(reading.inputs, [value.name for value in program.graph.inputs])
    outputs = _renamed(reading.outputs, [name for name, _ in program.graph.results])
    return Imported(sealed(head + program.text), weights, program.graph, inputs, outputs)


def _renamed(ports: tuple[Port, ...], names: list[str]) -> tuple[Port, ...]:
    return tuple(Port(port.onnx, name, port.batch_axis) for port, name in zip(ports, names, strict=True))
