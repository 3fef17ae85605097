"""Compile all kernels of a generated module ahead of time, with no GPU: `python -m netdsl.codegen.triton.aot M.py`.

The module runs on tensors without data, and its launches are written down instead of done; each distinct kernel is then
compiled for the architectures asked for, and its registers, spills, shared memory and matrix instructions are listed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

from netdsl.codegen.triton.devices import DEVICES

OPTIONS = ("num_warps", "num_stages", "enable_fp_fusion")
INSTRUCTIONS = {"wgmma": "wgmma.mma_async", "mma": "mma.sync", "tma": "cp.async.bulk.tensor", "cp_async": "cp.async.c"}
WAIT = "griddepcontrol.wait"
"""What a kernel begins with that may be launched before the one ahead has finished."""
BLOCKS = ("BB", "BH", "BW", "BM", "BC", "BN", "BK", "BLOCK")
SHARED_LIMIT = {80: 166912, 86: 101376, 89: 101376, 90: 232448}
"""Bytes of shared memory that one block may have, by architecture (CUDA programming guide, table of features)."""


@dataclass(frozen=True)
class Compiled:
    """One kernel, compiled for one architecture. `stack` are bytes a thread keeps outside registers: spills."""

    layers: tuple[str, ...]
    kernel: str
    arch: int
    tile: str
    registers: int
    stack: int
    shared: int
    wgmma: int
    mma: int
    tma: int
    cp_async: int
    waits: bool
    seconds: float


@dataclass(frozen=True)
class Launched:
    """One launch as it was asked for: the kernel, the type of each argument, its constants and options."""

    layer: str
    kernel: Any
    signature: tuple[tuple[str, str], ...]
    constants: tuple[tuple[str, Any], ...]
    options: tuple[tuple[str, Any], ...]


def load_module(path: str | Path) -> ModuleType:
    """A generated module, by its file."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def launches(module: ModuleType, batch: int, arch: int = 80) -> tuple[Launched, ...]:
    """What one pass over `batch` samples launches on a GPU of this architecture."""
    torch: Any = import_module("torch")
    found: list[Launched] = []

    def write_down(layer: str, kernel: Any, programs: int, *arguments: Any, **given: Any) -> None:
        given = {"PDL": arch >= 90, **given}
        names = [name for name in kernel.arg_names if name not in given]
        kinds = {name: _kind(value) for name, value in zip(names, arguments, strict=True)}
        options = {name: given[name] for name in OPTIONS if name in given}
        constants = {name: value for name, value in given.items() if name not in OPTIONS}
        found.append(Launched(layer, kernel, tuple(kinds.items()), tuple(constants.items()), tuple(options.items())))

    device = torch.device("meta")
    weights = {name: torch.empty(shape, device=device) for name, shape in module.WEIGHTS.items()}
    model = module.Model(weights, device)
    if hasattr(module, "TILES"):
        model.tiles = module.TILES[arch if arch in module.TILES else 89]
    inputs = tuple(
        torch.empty((batch * rows, *shape), dtype=dtype, device=device) for shape, rows, dtype in module.INPUTS.values()
    )
    results = module.empty_results(batch, device)
    model._run(module.Workspace(batch, device), inputs, results, batch, write_down)
    return tuple(found)


def _kind(value: Any) -> str:
    """Triton's name of an argument's type."""
    if isinstance(value, int):
        return "i32"
    names = {
        "float8_e4m3fn": "fp8e4nv",
        "float32": "fp32",
        "float16": "fp16",
        "bfloat16": "bf16",
        "int64": "i64",
        "int32": "i32",
        "bool": "i1",
    }
    if hasattr(value, "block_shape"):
        return f"tensordesc<{names[str(value.base.dtype).removeprefix('torch.')]}{list(value.block_shape)}>"
    return "*" + names[str(value.dtype).removeprefix("torch.")]


def compile_launch(launched: Launched, arch: int, layers: Sequence[str] = ()) -> Compiled:
    """The kernel of a launch for one architecture, compiled as the launch would: pointers are multiples of 16."""
    triton: Any = import_module("triton")
    backends: Any = import_module("triton.backends.compiler")
    start = time.perf_counter()
    constants = dict(launched.constants)
    given = dict(launched.signature)
    signature = {name: given.get(name, "constexpr") for name in launched.kernel.arg_names}
    aligned = {
        (index,): [["tt.divisibility", 16]] for index, kind in enumerate(signature.values()) if kind.startswith("*")
    }
    source = triton.compiler.ASTSource(launched.kernel, signature, constants, aligned)
    options = {"enable_fp_fusion": True, **dict(launched.options)}
    result = triton.compile(source, target=backends.GPUTarget("cuda", arch, 32), options=options)
    registers, stack = resources(result.asm["cubin"])
    counts = {name: result.asm["ptx"].count(text) for name, text in INSTRUCTIONS.items()}
    blocks = [str(constants[name]) for name in BLOCKS if name in constants]
    return Compiled(
        tuple(layers) or (launched.layer,),
        launched.kernel.__name__,
        arch,
        "x".join(blocks),
        registers,
        stack,
        result.metadata.shared,
        **counts,
        waits=WAIT in result.asm["ptx"],
        seconds=round(time.perf_counter() - start, 2),
    )


def resources(cubin: bytes) -> tuple[int, int]:
    """Registers a thread, and bytes of its stack frame, from the machine code."""
    knobs: Any = import_module("triton.knobs")
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [knobs.nvidia.cuobjdump.path, "-res-usage", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"REG:(\d+) STACK:(\d+)", text)
    if not found:
        raise ValueError(f"cuobjdump printed no resources: {text}")
    return max(int(registers) for registers, _ in found), max(int(stack) for _, stack in found)


def distinct(module: ModuleType, batches: Iterable[int], arch: int = 80) -> list[tuple[Launched, tuple[str, ...]]]:
    """The launches that need machine code of their own in passes over these batches, with the layers that share it."""
    found: dict[tuple[object, ...], tuple[Launched, dict[str, None]]] = {}
    for batch in batches:
        for launched in launches(module, batch, arch):
            key = (launched.kernel.__name__, launched.signature, launched.constants, launched.options)
            found.setdefault(key, (launched, {}))[1].setdefault(launched.layer)
    return [(launched, tuple(layers)) for launched, layers in found.values()]


def sweep(module: ModuleType, archs: Iterable[int], batches: Iterable[int]) -> Iterator[Compiled]:
    """Every distinct kernel of passes over these batches, for every architecture."""
    for arch in archs:
        for launched, layers in distinct(module, batches, arch):
            yield compile_launch(launched, arch, layers)


def sweep_file(path: str | Path, archs: Iterable[int], batches: Sequence[int], jobs: int) -> Iterator[Compiled]:
    """The same of a module's file, in as many processes."""
    archs = list(archs)
    if jobs <= 1:
        yield from sweep(load_module(path), archs, batches)
        return
    launches = {arch: len(distinct(load_module(path), batches, arch)) for arch in archs}
    places = [(str(path), tuple(batches), arch, index) for arch, count in launches.items() for index in range(count)]
    # The interpreter starts anew: a copy of this process would have PyTorch's threads, stopped where they were.
    with ProcessPoolExecutor(jobs, get_context("spawn")) as processes:
        yield from processes.map(_compile_one, places)


def _compile_one(place: tuple[str, tuple[int, ...], int, int]) -> Compiled:
    path, batches, arch, index = place
    launched, layers = _distinct_in(path, batches, arch)[index]
    return compile_launch(launched, arch, layers)


@cache
def _distinct_in(path: str, batches: tuple[int, ...], arch: int) -> list[tuple[Launched, tuple[str, ...]]]:
    return distinct(load_module(path), batches, arch)


def without_wgmma(module: ModuleType, items: Iterable[Compiled]) -> tuple[float, dict[str, int]]:
    """The share of the module's multiply-accumulates that wgmma does, and those of each layer that it does not do.

    `items` are all kernels of one batch for sm_90; a layer of several launches counts once, with the worst.
    """
    items = list(items)
    shapes = {layer: module.LAYERS[layer] for item in items for layer in item.layers}
    work = {layer: module.WORK[shape] for layer, shape in shapes.items() if shape in module.WORK}
    macs = {layer: sum(count for count, *_ in parts) for layer, (_, parts, _) in work.items()}
    slow = {layer: macs[layer] for item in items if not item.wgmma for layer in item.layers if layer in macs}
    return 1 - sum(slow.values()) / max(sum(macs.values()), 1), slow


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit status 1 if a kernel spills, or wants more shared memory than there is."""
    parser = argparse.ArgumentParser(prog="netdsl.codegen.triton.aot", description=__doc__)
    parser.add_argument("module", help="a module that netdsl compile --backend triton wrote")
    parser.add_argument("--arch", type=int, nargs="+", default=[90], help="such as 80 89 90")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32], help="samples, which decide about tiles")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes that compile: one a processor")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--wgmma", action="store_true", help="the share of the work that sm_90's wgmma does, by batch")
    options = parser.parse_args(arguments)
    least = min(load_module(options.module).DEVICES)
    below = [arch for arch in options.arch if arch < least and not options.wgmma]
    if below:
        why = ", as float8 does; compile with --dtype float16 for older ones" if least > min(DEVICES) else ""
        parser.error(f"{options.module} needs sm_{least} or newer{why}: --arch {below[0]}")
    if options.wgmma:
        return _report_wgmma(options.module, options.batch, options.jobs)
    start = time.perf_counter()
    columns = ("arch", "registers", "stack", "shared", "wgmma", "mma", "tma")
    bad = count = 0
    if not options.json:
        print(*columns, " kernel, tile, layers")
    for item in sweep_file(options.module, options.arch, options.batch, options.jobs):
        count += 1
        bad += item.stack > 0 or item.shared > SHARED_LIMIT.get(item.arch, min(SHARED_LIMIT.values()))
        if options.json:
            print(json.dumps(asdict(item)), flush=True)
            continue
        more = f" and {len(item.layers) - 1} more" if len(item.layers) > 1 else ""
        numbers = [f"{getattr(item, name):>{len(name)}}" for name in columns]
        print(*numbers, f" {item.kernel} {item.tile}  {item.layers[0]}{more}", flush=True)
    spent = time.perf_counter() - start
    print(f"{count} kernels, {bad} with spills or too much shared memory, {spent:.1f} s", file=sys.stderr)
    return 1 if bad else 0


def _report_wgmma(path: str, batches: Sequence[int], jobs: int) -> int:
    for batch in batches:
        share, slow = without_wgmma(load_module(path), sweep_file(path, [90], [batch], jobs))
        print(f"batch {batch}: wgmma does {share:.2%} of the multiply-accumulates", flush=True)
        for layer, macs in slow.items():
            print(f"    {macs:>14,}  {layer}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
