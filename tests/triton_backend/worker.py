"""Runs generated modules under Triton's interpreter, in a process of its own: one JSON request a line, one answer.

Triton must be told to interpret before it is imported, so the tests' own process, which compiles kernels, cannot do it.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import traceback
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from triton.runtime.interpreter import InterpreterBuilder

MARGIN = 64
"""Bytes around every tensor that hold NaN (all bits set, in every element type) and must go on doing so."""


class Guarded:
    """Tensors that lie between margins of NaN, where nothing may be read or written."""

    def __init__(self) -> None:
        self.held: list[torch.Tensor] = []
        self.edges: list[int] = []

    def watch(self, pointers: Any, mask: Any) -> None:
        """Refuse addresses in a margin: between the first and second edge, the third and fourth, and so on."""
        at = np.searchsorted(np.array(self.edges, np.uint64), np.asarray(pointers)[np.asarray(mask, bool)], "right")
        if (at % 2).any():
            raise AssertionError("a kernel reads or writes outside a tensor")

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        size = math.prod(shape) * dtype.itemsize
        held = torch.full((-(-size // MARGIN) * MARGIN + 2 * MARGIN,), 255, dtype=torch.uint8)
        self.held.append(held)
        start, end = held.data_ptr(), held.data_ptr() + held.nbytes
        self.edges = sorted([*self.edges, start, start + MARGIN, start + MARGIN + size, end])
        return held[MARGIN : MARGIN + size].view(dtype).view(shape)

    def copy(self, tensor: torch.Tensor) -> torch.Tensor:
        return self.empty(tuple(tensor.shape), tensor.dtype).copy_(tensor)

    def check(self) -> None:
        for held in self.held:
            if not ((held[:MARGIN] == 255).all() and (held[-MARGIN:] == 255).all()):
                raise AssertionError("a kernel wrote outside its tensor")


def watch(guarded: Guarded) -> None:
    """From now on, what kernels access goes by `guarded` first."""

    def load(self: Any, pointers: Any, mask: Any, *others: Any, **named: Any) -> Any:
        guarded.watch(pointers.data, mask.data)
        return LOAD(self, pointers, mask, *others, **named)

    def store(self: Any, pointers: Any, value: Any, mask: Any, *others: Any, **named: Any) -> Any:
        guarded.watch(pointers.data, mask.data)
        return STORE(self, pointers, value, mask, *others, **named)

    InterpreterBuilder.create_masked_load, InterpreterBuilder.create_masked_store = load, store


LOAD, STORE = InterpreterBuilder.create_masked_load, InterpreterBuilder.create_masked_store


def answer(request: dict[str, Any]) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("generated", request["module"])
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    guarded = Guarded()
    watch(guarded)
    model = module.load(request["weights"])
    if hasattr(module, "TILES"):
        model.tiles = module.TILES[request["target"]]
    for name, tensor in vars(model._weights).items():
        setattr(model._weights, name, guarded.copy(tensor))
    empty_results = module.empty_results
    module.empty_results = lambda batch, device: tuple(
        guarded.empty(tuple(result.shape), result.dtype) for result in empty_results(batch, device)
    )
    loaded = load_file(request["inputs"])
    inputs = [guarded.copy(loaded[name]) for name in module.INPUTS]
    workspace = model._workspace(module.check_inputs(inputs, model.device))
    workspace.arena = guarded.empty(tuple(workspace.arena.shape), torch.uint8)
    workspace.buffers = module.carve(workspace.arena, module.check_inputs(inputs, model.device))
    results = model(*inputs)
    guarded.check()
    results = results if isinstance(results, tuple) else (results,)
    if any(tile[5] > 1 for table in getattr(model, "tiles", None) or {} for _, tile in model.tiles[table] if tile):
        # Programs that share a depth leave their counts at zero, and add in one order.
        workspace.arena.fill_(255)
        again = model(*inputs)
        again = again if isinstance(again, tuple) else (again,)
        if not all(torch.equal(a.view(torch.uint8), b.view(torch.uint8)) for a, b in zip(results, again, strict=True)):
            raise AssertionError("a second pass gave other results")
    save_file({f"y{index}": result.contiguous() for index, result in enumerate(results)}, request["outputs"])
    return {"dtypes": [str(result.dtype) for result in results]}


def main() -> None:
    torch.set_num_threads(1)
    np.seterr(all="ignore")  # lanes outside a tile hold anything; what they compute is thrown away
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception:
            reply = {"error": traceback.format_exc()}
        print("\n" + json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
