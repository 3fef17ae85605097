"""Writes what the GPU tests run into a folder: `python tests/gpu/generate.py build/gpu`. Needs netdsl, and no GPU.

A machine with a GPU then needs the folder, torch, triton and safetensors. Each case is a module, and a file of its
weights, inputs and what the reference makes of them in float64.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

import netdsl
from netdsl.analysis.vocabulary import index_limits
from netdsl.codegen.triton.backend import compile_graph
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph
from netdsl.ops import ALL, Conv, Div, Fc, Log, MatMul, Mul, Power, Sqrt, UpConv
from netdsl.ops.base import ONES, Op
from netdsl.reference.interpret import interpret
from netdsl.tensor import DType, Layout

ROOT = Path(__file__).parents[2]
BATCH = 3
MATRIX: tuple[type[Op], ...] = (Conv, UpConv, Fc, MatMul)
POSITIVE: tuple[type[Op], ...] = (Div, Log, Power, Sqrt)
"""Operators whose operands are kept away from 0, where results have no size to compare with."""
EXAMPLES = ROOT / "examples"
MINI = (Path(__file__).parent / "mini.net", "Mini")
NETWORKS = (MINI, (EXAMPLES / "resnet.net", "ResNet50"), (EXAMPLES / "vgg.net", "VGG16"))


def samples(op: type[Op]) -> Graph:
    """All samples of an operator in one net, side by side."""
    builder = GraphBuilder(op.word)
    for sample in op.samples():
        operands = [
            builder.input(f"{sample.name}.x{i}", type._replace(layout=Layout.CHANNELS_FIRST))
            if type.batch
            else builder.parameter(f"{sample.name}.w{i}", type.shape, ONES)
            for i, type in enumerate(sample.inputs)
        ]
        results = builder.node(sample.op, operands, name=sample.name)
        if not any(type.batch for type in sample.inputs):
            x = builder.input(f"{sample.name}.x", results[0].type._replace(batch=1))
            results = builder.node(Mul(), (x, results[0]), name=f"{sample.name}.scaled")
        for i, result in enumerate(results):
            builder.result(f"{sample.name}.y{i}", result)
    return builder.finish()


def arrays(graph: Graph, positive: bool) -> dict[str, Any]:
    """Weights and inputs that float16 and bfloat16 hold exactly; places of pooling are different ones of a plane."""
    source = np.random.default_rng(0)
    limits = index_limits(graph)
    made: dict[str, Any] = {}
    for value in (*graph.inputs, *(parameter.value for parameter in graph.parameters)):
        shape = (BATCH * value.type.batch, *value.type.shape) if value.type.batch else value.type.shape
        if value.name in limits:
            made[value.name] = source.integers(0, limits[value.name], shape)
            continue
        if value.type.dtype is DType.INT64:
            size = value.type.size // value.type.shape[0]
            planes = [source.permutation(size) for _ in range(shape[0] * shape[1])]
            made[value.name] = np.stack(planes).reshape(shape).astype(np.int64)
            continue
        scale = 1.0 if value.type.batch else 1 / max(float(np.prod(shape[1:])), 1.0) ** 0.5
        array = np.round(source.standard_normal(shape) * scale * 64) / 64
        above = positive or value.name.endswith(("running_var", ".w0", ".w1"))
        made[value.name] = (abs(array) + 0.5 if above else array).astype(np.float32)
    return made


def write(folder: Path, ops: Iterable[type[Op]] = ALL, networks: Iterable[tuple[Path, str]] = NETWORKS) -> None:
    """All cases. Modules are named `<operator>_<dtype>.py`; the data of an operator serves all of its dtypes."""
    folder.mkdir(parents=True, exist_ok=True)
    for op in ops:
        graph = samples(op)
        given = arrays(graph, op in POSITIVE)
        weights = {parameter.value.name: given[parameter.value.name] for parameter in graph.parameters}
        inputs = {value.name: given[value.name] for value in graph.inputs}
        wanted = interpret(graph, inputs, weights, np.float64)
        data = {f"given {name}": array for name, array in given.items()}
        data |= {
            f"wanted {name}": np.ascontiguousarray(array)
            for (name, _), array in zip(graph.results, wanted, strict=True)
        }
        save_file(data, folder / f"{op.word}.safetensors")
        dtypes = [DType.FLOAT32, DType.FLOAT16, *((DType.TF32, DType.BFLOAT16) if op in MATRIX else ())]
        for dtype in dtypes:
            compile_graph(graph, dtype).write(folder / f"{op.word}_{dtype.label}.py")
    for file, name in networks:
        graph = netdsl.load(file, net=name).graph
        for dtype in (DType.FLOAT32, DType.TF32, DType.FLOAT16, DType.BFLOAT16):
            compile_graph(graph, dtype, source_name=file.name).write(folder / f"net_{name.lower()}_{dtype.label}.py")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
