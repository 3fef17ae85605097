"""Runs generated modules under Triton's interpreter, in a process of its own: one JSON request a line, one answer.

Triton must be told to interpret before it is imported, so the tests' own process, which compiles kernels, cannot do it.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from quicker import quicken
from safetensors.torch import load_file, save_file
from triton import language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpreterBuilder, InterpreterError

NAN8 = 0x7F
"""NaN as a byte of e4m3."""
MARGIN = 64
"""Bytes around every tensor that hold NaN (all bits set, in every element type) and must go on doing so."""


class Guarded:
    """Tensors that lie between margins of NaN. A launch may read and write in those alone that it is given.

    `left_out` stands for what a mask leaves out where a load does not say: it may be anything then.
    """

    def __init__(self) -> None:
        self.left_out = math.nan
        self.held: list[torch.Tensor] = []
        self.kernels: set[str] = set()
        self.edges = np.empty(0, np.uint64)
        self.written: list[Any] = []

    def launch(self, kernel: Any, programs: int, *arguments: Any, **constants: Any) -> None:
        """Run a kernel. No element is written twice: on a GPU it would be a race which of two programs comes last."""
        self.kernels.add(kernel.__name__)
        tensors = tensors_of(arguments)
        spans: list[list[int]] = []
        for start, end in sorted((tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes) for tensor in tensors):
            if spans and start <= spans[-1][1]:
                spans[-1][1] = max(end, spans[-1][1])
            else:
                spans.append([start, end])
        self.edges = np.array(spans, np.uint64).ravel()
        self.written = []
        kernel[(programs,)](*arguments, **constants)
        written = np.concatenate(self.written)
        if len(np.unique(written)) != len(written):
            raise AssertionError("two programs write one element")

    def watch(self, pointers: Any, mask: Any) -> Any:
        """The addresses that are accessed: between the first and second edge, the third and fourth, and so on."""
        accessed = np.asarray(pointers)[np.asarray(mask, bool)]
        if not (np.searchsorted(self.edges, accessed, "right") % 2).all():
            raise AssertionError("a kernel reads or writes outside the tensors that it is given")
        return accessed

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        size = math.prod(shape) * dtype.itemsize
        held = torch.full((-(-size // MARGIN) * MARGIN + 2 * MARGIN,), 255, dtype=torch.uint8)
        self.held.append(held)
        return held[MARGIN : MARGIN + size].view(dtype).view(shape)

    def copy(self, tensor: torch.Tensor) -> torch.Tensor:
        return self.empty(tuple(tensor.shape), tensor.dtype).copy_(tensor)

    def check(self) -> None:
        for held in self.held:
            if not ((held[:MARGIN] == 255).all() and (held[-MARGIN:] == 255).all()):
                raise AssertionError("a kernel wrote outside its tensor")


def watch(guarded: Guarded) -> None:
    """From now on, what kernels access goes by `guarded` first."""

    def load(self: Any, pointers: Any, mask: Any, other: Any, *others: Any, **named: Any) -> Any:
        guarded.watch(pointers.data, mask.data)
        found = LOAD(self, pointers, mask, other, *others, **named)
        if other is None:
            floats = np.issubdtype(found.data.dtype, np.floating)
            eight = found.dtype.scalar == tl.float8e4nv
            left_out = np.asarray(guarded.left_out if floats else NAN8 if eight else 1, found.data.dtype)
            found.data = np.where(mask.data, found.data, left_out)
        return found

    def store(self: Any, pointers: Any, value: Any, mask: Any, *others: Any, **named: Any) -> Any:
        guarded.written.append(guarded.watch(pointers.data, mask.data))
        return STORE(self, pointers, value, mask, *others, **named)

    InterpreterBuilder.create_masked_load, InterpreterBuilder.create_masked_store = load, store


def convert(data: Any, source: Any, target: Any, rounding: Any) -> Any:
    """Floating-point numbers in another type. PyTorch rounds to float8: the interpreter loses carries there."""
    if tl.float8e4nv not in (source, target):
        return CONVERT(data, source, target, rounding)
    found = torch.from_numpy(np.ascontiguousarray(data)).view(ELEMENTS[source]).to(ELEMENTS[target])
    return found.view(getattr(torch, f"uint{target.primitive_bitwidth}")).numpy()


ELEMENTS = {tl.float8e4nv: torch.float8_e4m3fn, tl.float16: torch.float16, tl.float32: torch.float32}
CONVERT = interpreter._convert_float
interpreter._convert_float = convert
LOAD, STORE = InterpreterBuilder.create_masked_load, InterpreterBuilder.create_masked_store


class Pass:
    """A generated module, its model and inputs, all tensors between margins."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.module = module = loaded(request["module"])
        self.guarded = guarded = Guarded()
        watch(guarded)
        target = {"target": request["target"]} if hasattr(module, "TILES") else {}
        self.model = module.load(request["weights"], **target)
        self.model.launch = lambda layer, *arguments, **constants: guarded.launch(*arguments, **constants)
        for name, tensor in vars(self.model._weights).items():
            setattr(self.model._weights, name, guarded.copy(tensor))
        empty_results = module.empty_results
        module.empty_results = lambda batch, device: tuple(
            guarded.empty(tuple(result.shape), result.dtype) for result in empty_results(batch, device)
        )
        given = load_file(request["inputs"])
        self.inputs = [guarded.copy(given[name]) for name in module.INPUTS]
        batch = module.check_inputs(self.inputs, self.model.device)
        self.workspace = self.model._workspace(batch)
        self.workspace.arena = guarded.empty(tuple(self.workspace.arena.shape), torch.uint8)
        self.workspace.buffers = module.carve(self.workspace.arena, batch)

    def run(self) -> tuple[torch.Tensor, ...]:
        results = self.model(*self.inputs)
        self.guarded.check()
        return results if isinstance(results, tuple) else (results,)


def loaded(path: str) -> Any:
    """A Python file, anew."""
    spec = importlib.util.spec_from_file_location("generated", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answer(request: dict[str, Any]) -> dict[str, Any]:
    if "mutants" in request:
        return try_mutants(request)
    running = Pass(request)
    if request["calibrate"]:
        running.model.calibrate(*running.inputs)
    results = running.run()
    tiles = getattr(running.model, "tiles", None) or {}
    if any(tile[5] > 1 for shape in tiles for _, tile in tiles[shape] if tile):
        # Programs that share a depth leave their counts at zero, and add in one order.
        running.workspace.arena.fill_(255)
        if not same_bytes(results, running.run()):
            raise AssertionError("a second pass gave other results")
    save_file({f"y{index}": result.contiguous() for index, result in enumerate(results)}, request["outputs"])
    return {"kernels": sorted(running.guarded.kernels)}


def same_bytes(some: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> bool:
    pairs = zip(some, others, strict=True)
    return all(torch.equal(bytes_of(a), bytes_of(b)) for a, b in pairs)


def bytes_of(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(-1).view(torch.uint8)


def tensors_of(arguments: Sequence[Any]) -> list[torch.Tensor]:
    """What a launch may access."""
    return [getattr(argument, "base", argument) for argument in arguments if not isinstance(argument, int)]


class Launch(NamedTuple):
    """What a kernel was given, and the bytes of its tensors before and after."""

    guarded: Guarded
    kernel: Any
    programs: int
    arguments: tuple[Any, ...]
    constants: dict[str, Any]
    before: list[torch.Tensor]
    after: list[torch.Tensor]

    def fault(self, kernel: Any, arguments: Sequence[Any]) -> str:
        """What is wrong with another kernel or with other arguments; empty if nothing is."""
        tensors = tensors_of(self.arguments)
        watch(self.guarded)
        for self.guarded.left_out in (math.nan, 0.25):
            for tensor, held in zip(tensors, self.before, strict=True):
                tensor.copy_(held)
            try:
                self.guarded.launch(kernel, self.programs, *arguments, **self.constants)
            except (AssertionError, InterpreterError) as error:
                if "a kernel reads" in str(error) or "two programs" in str(error):
                    return str(error)
                raise
            if not same_bytes(tensors, self.after):
                return "other results"
        return ""


def try_mutants(request: dict[str, Any]) -> dict[str, Any]:
    """What is wrong with each mutant in some launch, and with longer boxes; empty if nothing is."""
    wanted = {name for name, _ in request["mutants"]}
    launches = [launch for inputs in request["passes"] for launch in recorded({**request, "inputs": inputs}, wanted)]
    faults = []
    for name, text in request["mutants"]:
        Path(request["module"]).write_text(text)
        kernel = getattr(loaded(request["module"]), name)
        alike = [launch for launch in launches if launch.kernel.__name__ == name]
        faults.append(next((fault for launch in alike if (fault := launch.fault(kernel, launch.arguments))), ""))
    boxes: dict[str, str] = {}
    for launch in launches:
        for place, argument in enumerate(launch.arguments):
            # Where whole boxes fill a tensor, none reaches beyond, but for those that begin before it.
            for axis, side in enumerate(getattr(argument, "block_shape", ())):
                key = f"{launch.kernel.arg_names[place]}, axis {axis}"
                if argument.shape[axis] % side and not boxes.get(key):
                    arguments = [*launch.arguments]
                    arguments[place] = longer(argument, axis)
                    boxes[key] = launch.fault(launch.kernel, arguments)
    return {"faults": faults, "boxes": boxes}


def recorded(request: dict[str, Any], wanted: set[str]) -> list[Launch]:
    """The launches of these kernels in a pass."""
    running = Pass(request)
    launches: list[Launch] = []

    def record(layer: str, kernel: Any, programs: int, *arguments: Any, **constants: Any) -> None:
        before = [tensor.clone() for tensor in tensors_of(arguments)]
        running.guarded.launch(kernel, programs, *arguments, **constants)
        if kernel.__name__ in wanted:
            after = [tensor.clone() for tensor in tensors_of(arguments)]
            launches.append(Launch(running.guarded, kernel, programs, arguments, constants, before, after))

    running.model.launch = record
    running.run()
    return launches


def longer(given: Any, axis: int) -> Any:
    """A descriptor that says that its tensor is longer along an axis, so that boxes reach beyond."""
    extents = list(given.shape)
    extents[axis] += given.block_shape[axis]
    return type(given)(given.base, extents, given.strides, given.block_shape)


def main() -> None:
    torch.set_num_threads(1)
    quicken()
    np.seterr(all="ignore")  # lanes outside a tile hold anything; what they compute is thrown away
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception:
            reply = {"error": traceback.format_exc()}
        print("\n" + json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
