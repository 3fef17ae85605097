"""Generated Triton modules, run by Triton's interpreter and compared with the reference interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from netdsl.analysis.vocabulary import index_limits
from netdsl.codegen.artifact import Artifact
from netdsl.codegen.triton.backend import compile_graph
from netdsl.codegen.triton.tiling import DefaultTiling, Tiling, power_above
from netdsl.codegen.triton.work import Headed, Pair, Pooled, Product, Separable, Sum, Tables, Tile
from netdsl.ir.graph import Graph
from netdsl.ops.choice import Gather, Nms
from netdsl.reference.interpret import interpret
from netdsl.tensor import DType

TOLERANCE = {DType.FLOAT32: 2e-6, DType.TF32: 2e-6, DType.FLOAT16: 2e-3}
"""Largest difference over the largest element; in float16 that is four units in the last place of the largest."""


@dataclass(frozen=True)
class SmallTiling(DefaultTiling):
    """The smallest blocks, so that small shapes span several of each; boxes of `box`, and depths split, if need be."""

    split: int = 1
    box: tuple[int, int, int] = (2, 2, 4)

    def matrix(self, product: Product, shape: str) -> Tables:
        usual = ((1, Tile(16, 16, 16, split=self.split)),)
        box = self.boxes[product.boxes]
        return ((80, usual), (90, ((1, Tile(16, 16, 16, split=self.split, box=box)),)))

    @property
    def boxes(self) -> dict[str, tuple[int, ...]]:
        """Boxes of 16 rows, by what they are of."""
        samples, height, width = self.box
        return {"": (), "rows": (16,), "lines": (samples * height, width), "windows": self.box}

    def pair(self, pair: Pair, shape: str = "") -> Tables:
        if isinstance(pair, Separable):
            tiles = ((1, Tile(16, 16, 16, 4, 1, box=self.box)),)
            return ((80, tiles), (90, tiles))
        if isinstance(pair, Pooled) and pair.first.near:
            depth = max(power_above(4 * pair.first.near.kernel[1]), 16)
            return tuple((target, ((1, Tile(64, 16, depth, box=(8, 8))),)) for target in (80, 90))
        if isinstance(pair, Headed):
            return ((80, ((1, Tile(16, 16, 16)),)), (90, ((1, Tile(16, 16, 16)),)))
        depth = 64 if isinstance(pair, Sum) else 16
        return ((80, ((1, None),)), (90, ((1, Tile(16, 16, depth, split=self.split, box=self.box)),)))

    def pixels(self, columns: int) -> tuple[int, int]:
        return 16, 8

    def rows(self, depth: int, along_rows: bool) -> tuple[int, int]:
        return 4, 16

    def attention(self, depth: int, dtype: DType) -> Tile:
        return Tile(16, 16, 16)

    def block(self) -> int:
        return 64


class Interpreter:
    """The process in which modules run; started when first asked, closed with `close`.

    kernels  names of those that the last module launched.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None
        self.kernels: set[str] = set()

    def run(
        self,
        source: str,
        inputs: Mapping[str, Any],
        weights: Mapping[str, Any],
        target: int = 80,
        calibrate: bool = False,
    ) -> tuple[Any, ...]:
        """The results of a module, as NumPy arrays, with the kernels and tiles of a kind of GPU."""
        path = str(self.folder / "outputs")
        request = {"inputs": self._saved("inputs", inputs), "outputs": path, "calibrate": calibrate}
        self.kernels = set(self._ask({**self._files(source, weights), **request}, target)["kernels"])
        results = load_file(path)
        return tuple(results[f"y{index}"] for index in range(len(results)))

    def faults(
        self,
        source: str,
        passes: Sequence[Mapping[str, Any]],
        weights: Mapping[str, Any],
        mutants: Sequence[tuple[str, str]],
        target: int = 80,
    ) -> tuple[list[str], dict[str, str]]:
        """What is wrong with each of these kernels, by name and text, in place of the module's own; empty if nothing.

        Also what is wrong where a tensor that is fetched in boxes is said to be longer: `"x, axis 0": "..."`.
        """
        paths = [self._saved(f"inputs{index}", inputs) for index, inputs in enumerate(passes)]
        reply = self._ask({**self._files(source, weights), "passes": paths, "mutants": mutants}, target)
        return reply["faults"], reply["boxes"]

    def _files(self, source: str, weights: Mapping[str, Any]) -> dict[str, Any]:
        path = self.folder / "module.py"
        path.write_text(source)
        return {"module": str(path), "weights": self._saved("weights", weights)}

    def _saved(self, name: str, arrays: Mapping[str, Any]) -> str:
        save_file(dict(arrays), self.folder / name)
        return str(self.folder / name)

    def close(self) -> None:
        if self.process:
            self.process.communicate()

    def _ask(self, request: dict[str, Any], target: int) -> dict[str, Any]:
        if self.process is None:
            environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
            command = [sys.executable, str(Path(__file__).parent / "worker.py")]
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({**request, "target": target}) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                reply: dict[str, Any] = json.loads(line)
                if "error" in reply:
                    raise AssertionError(reply["error"])
                return reply
        raise AssertionError("the interpreter's process ended")


def random_weights(graph: Graph, dtype: DType, seed: int = 0) -> dict[str, Any]:
    """Normal weights, scaled so that a layer keeps the size of what it reads; those that must be positive are."""
    source = np.random.default_rng(seed)
    weights = {}
    for parameter in graph.parameters:
        shape = parameter.value.type.shape
        array = source.standard_normal(shape) / max(np.prod(shape[1:]), 1) ** 0.5
        positive = parameter.value.name.endswith("running_var") or parameter.value.name in ("w0", "w1")
        weights[parameter.value.name] = rounded(abs(array) + 0.5 if positive else array, dtype)
    return weights


def random_inputs(graph: Graph, dtype: DType, n: int, seed: int = 1, positive: bool = False) -> dict[str, Any]:
    """Normal inputs for n samples; indices are rows of a table, or different places of a map."""
    source = np.random.default_rng(seed)
    limits = index_limits(graph)
    rows = {node.operands[1]: node.operands[0].type.shape[0] for node in graph.nodes if isinstance(node.op, Gather)}
    boxes = {node.operands[0] for node in graph.nodes if isinstance(node.op, Nms)}
    arrays: dict[str, Any] = {}
    for value in graph.inputs:
        shape = (n * value.type.batch, *value.type.shape)
        if value.type.dtype.is_float:
            array = source.standard_normal(shape)
            if value in boxes:
                array[..., 2:] = array[..., :2] + 2 * abs(array[..., 2:])
            arrays[value.name] = rounded(abs(array) + 0.5 if positive else array, dtype)
        elif value in rows:
            arrays[value.name] = source.integers(-1, rows[value] + 1, shape)
        elif value.name in limits:
            arrays[value.name] = source.integers(0, limits[value.name], shape)
        elif value.type.dtype is DType.BOOL:
            arrays[value.name] = source.random(shape) < 0.5
        else:
            count = value.type.size // value.type.shape[0]
            planes = [source.permutation(count) for _ in range(shape[0] * shape[1])]
            arrays[value.name] = np.stack(planes).reshape(shape).astype(np.int64)
    return arrays


def rounded(array: Any, dtype: DType) -> Any:
    """Numbers that the element type holds exactly, as float32."""
    return (array.astype(np.float16) if dtype is DType.FLOAT16 else array).astype(np.float32)


def difference(found: Any, wanted: Any, least: float = 0.0) -> float:
    """The largest difference over the largest element or `least`; infinite where shape, infinities or NaN differ."""
    if found.shape != wanted.shape:
        return float("inf")
    finite = np.isfinite(wanted)
    if not np.array_equal(found[~finite].astype(float), wanted[~finite], equal_nan=True):
        return float("inf")
    scale = np.abs(wanted[finite]).max(initial=least)
    gap = np.abs(found[finite].astype(float) - wanted[finite]).max(initial=0.0)
    return float(gap / scale) if scale else float(gap)


def compare(
    interpreter: Interpreter,
    graph: Graph,
    dtype: DType,
    n: int,
    *,
    factor: float = 1.0,
    positive: bool = False,
    small: bool = True,
    least: float = 0.0,
    target: int = 80,
    tiling: Tiling | None = None,
) -> Artifact:
    """Assert that the generated module agrees with the reference in float64; `factor` widens the tolerance.

    `least` is what results are taken to be at least: where all are sums that happen to cancel, their own size says
    nothing of the rounding of what was summed.
    """
    weights, inputs = random_weights(graph, dtype), random_inputs(graph, dtype, n, positive=positive)
    wanted = interpret(graph, inputs, weights, np.float64)
    artifact = compile_graph(graph, dtype, tiling=tiling or (SmallTiling() if small else DefaultTiling()))
    found = interpreter.run(artifact.source, inputs, weights, target)
    worst = max(difference(*pair, least) for pair in zip(found, wanted, strict=True))
    assert worst <= factor * TOLERANCE[dtype], f"differs by {worst:.2e} of the largest element"
    return artifact
