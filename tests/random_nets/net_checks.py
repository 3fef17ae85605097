"""Everything that must hold of a random net: its text, its graph, its costs, and what it computes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch_build
from generator import INDICES, RandomNet

from netdsl.analysis.cost import layer_costs, totals
from netdsl.analysis.summary import summarise
from netdsl.codegen.numpy.backend import compile_graph
from netdsl.diagnostics import Report
from netdsl.driver import warn
from netdsl.elaborate import Options, Program, elaborate
from netdsl.elaborate import nets as nets_of
from netdsl.ir.graph import Graph, Value
from netdsl.ir.text import dump, parse_text
from netdsl.ir.verify import verify
from netdsl.passes.dead_code import DeadCode
from netdsl.passes.expand import Expand
from netdsl.passes.hoist import Hoist
from netdsl.passes.manager import run_passes
from netdsl.passes.pipeline import CHANNELS_LAST, OPTIMIZE
from netdsl.reference.interpret import interpret
from netdsl.source import Source
from netdsl.syntax.format import format
from netdsl.syntax.parse import parse
from netdsl.tensor import DType

try:
    import torch
    from torch.utils.flop_counter import FlopCounterMode
except ImportError:
    torch = None

EXACT = 1e-10
"""Largest difference in float64, over the largest element of a result."""
SINGLE = 2e-5
"""The same in float32."""
Arrays = list[Any]


class Data(NamedTuple):
    """Inputs `N x ...` and weights, in the order of the expansion, as float64 that float32 holds exactly."""

    inputs: Arrays
    weights: Arrays


def read(net: RandomNet) -> Graph:
    """The graph of a net, with all of its warnings asked for. Raises NetError."""
    report = Report()
    texts = {"random.net": net.text, **net.used}
    files = {name: parse(Source(name, text), report) for name, text in texts.items()}
    report.raise_if_errors()
    trees = {name: file for name, file in files.items() if file is not None}
    program = Program(trees.pop("random.net"), trees)
    graph = elaborate(program, nets_of(program)[0], Options(settings=net.settings), report)
    report.raise_if_errors()
    assert graph is not None
    warn(graph, report)
    return graph


def formatted(text: str) -> str:
    source, report = Source("random.net", text), Report()
    file = parse(source, report)
    report.raise_if_errors()
    assert file is not None
    return format(source, file)


def check_texts(net: RandomNet, graph: Graph) -> None:
    """The formatter changes no meaning and nothing the second time; the IR's text reads back."""
    once = replace(net, text=formatted(net.text), used={name: formatted(text) for name, text in net.used.items()})
    for text in (once.text, *once.used.values()):
        assert formatted(text) == text
    text = dump(graph)
    assert dump(read(once)) == text
    again = parse_text(text)
    verify(again)
    assert dump(again) == text


def check_expansion(net: RandomNet, graph: Graph) -> None:
    """The graph is the expansion: the same operators on the same tensors with the same weights, in the same order."""
    trace = net.trace
    assert [node.op for node in graph.nodes] == trace.resolved()
    numbers: dict[Value, int] = dict(zip(graph.inputs, trace.inputs, strict=True))
    weights = {parameter.value: number for number, parameter in enumerate(graph.parameters)}
    own = {number: value for value, number in trace.parameters.items()}
    numbers |= {value: own[number] for value, number in weights.items() if number in own}
    shapes = [(parameter.value.type.shape, parameter.trainable) for parameter in graph.parameters]
    assert shapes == [(weight.shape, weight.trainable) for weight in trace.weights]
    for node, layer in zip(graph.nodes, trace.layers, strict=True):
        operands = layer.operands[: len(node.operands)]  # `crop(a)` needs no more of `it` than its extents
        assert tuple(numbers[value] for value in node.operands) == operands
        assert tuple(weights[value] for value in node.weights) == layer.weights
        numbers |= zip(node.outputs, layer.results, strict=True)
    for value, number in numbers.items():
        assert value.type == trace.types[number]
    assert [numbers[value] for value in graph.outputs] == [number for _, number in net.outputs]
    if net.outputs[0][0]:
        assert [name for name, _ in graph.results] == [name for name, _ in net.outputs]


def draw_data(net: RandomNet) -> Data:
    """Normal inputs; weights scaled so that layers keep the scale, positive where they divide."""
    random = np.random.default_rng(len(net.text))

    def exact(array: Any) -> Any:
        return array.astype(np.float32).astype(np.float64)

    inputs = []
    for value in net.trace.inputs:
        type = net.trace.types[value]
        array = random.standard_normal((net.rows, *type.shape))
        kept = {DType.INT64: (10 * abs(array)).astype(np.int64) % INDICES, DType.BOOL: array > 0}
        inputs.append(kept.get(type.dtype, exact(array)))
    weights = []
    for spec in net.trace.weights:
        array = random.standard_normal(spec.shape)
        if spec.kind == "positive":
            array = random.uniform(0.5, 1.5, spec.shape)
        elif spec.kind == "scaled":
            array = array / np.sqrt(np.prod(spec.shape[1:]))
        weights.append(exact(array))
    return Data(inputs, weights)


def by_name(graph: Graph, data: Data, dtype: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    inputs = {
        value.name: array.astype(dtype) if value.type.dtype.is_float else array
        for value, array in zip(graph.inputs, data.inputs, strict=True)
    }
    weights = {p.value.name: array.astype(dtype) for p, array in zip(graph.parameters, data.weights, strict=True)}
    return inputs, weights


# PyTorch.


def torch_results(net: RandomNet, data: Data, noise: bool = False, single: bool = False) -> Arrays:
    """PyTorch's results in float64, the N taken from what has none.

    With `noise` every layer's result errs as float32 does; with `single` all is computed in float32.
    """
    generator = torch.Generator().manual_seed(0)

    def erring(tensor: Any) -> Any:
        return tensor * (1 + 2.0**-24 * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype))

    def tensor(array: Any) -> Any:
        return torch.from_numpy(array.astype(np.float32) if single and array.dtype == np.float64 else array)

    known = torch_build.run(
        net.trace, [*map(tensor, data.inputs)], [*map(tensor, data.weights)], erring if noise else None
    )
    for value, type in enumerate(net.trace.types):
        assert known[value].shape == (net.rows * type.batch if type.batch else 1, *type.shape)
    types = net.trace.types
    return [known[value].numpy() if types[value].batch else known[value].numpy()[0] for _, value in net.outputs]


def counted_macs(net: RandomNet, data: Data) -> int:
    """Half of the operations that PyTorch counts, which are those of convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        torch_results(net, data)
    return int(counter.get_total_flops()) // 2


def check_costs(net: RandomNet, graph: Graph, data: Data) -> None:
    """Multiply-accumulates are PyTorch's count, parameters are the elements of the weights."""
    for dtype in (DType.FLOAT32, DType.FLOAT16):
        costs = layer_costs(graph, dtype, net.rows)
        total = totals(graph, costs, dtype, net.rows)
        sizes = [(int(np.prod(weight.shape)), weight.trainable) for weight in net.trace.weights]
        assert total.params == sum(size for size, trainable in sizes if trainable)
        assert total.buffers == sum(size for size, trainable in sizes if not trainable)
        assert total.weight_bytes == sum(size for size, _ in sizes) * (4 if dtype is DType.FLOAT32 else 2)
        assert total.layers == len(net.trace.layers) == len(costs)
        assert sum(kind.macs for kind in summarise(graph, net.rows, dtype, None).kinds) == total.macs <= total.flops
    assert total.macs == counted_macs(net, data)


# Answers.


def difference(found: Any, wanted: Any) -> float:
    """The largest difference over the largest element; infinite where shapes, types or infinities differ."""
    if found.shape != wanted.shape or (found.dtype.kind != wanted.dtype.kind) or np.isnan(found).any():
        return float("inf")
    if not np.isfinite(found).all():
        return float("inf")
    if wanted.dtype.kind in "ib":
        return 0.0 if found.dtype == wanted.dtype and np.array_equal(found, wanted) else float("inf")
    gap, scale = np.abs(found - wanted).max(initial=0.0), np.abs(wanted).max(initial=0.0)
    return float(gap / scale) if scale else float(gap)


def worst(found: Any, wanted: Arrays) -> float:
    assert len(found) == len(wanted)
    return max(difference(*pair) for pair in zip(found, wanted, strict=True))


def conditioned(net: RandomNet, data: Data, wanted: Arrays) -> bool:
    """Whether float32 can hold its answers, far within the tolerance.

    Errors of a float32's size after every layer must not grow (a norm of equal numbers), nor those inside PyTorch's own
    layers (gelu of large negative numbers).
    """
    erring = (torch_results(net, data, noise=True), torch_results(net, data, single=True))
    return all(worst(results, wanted) < SINGLE / 10 for results in erring)


def module_results(graph: Graph, data: Data, dtype: DType, **options: Any) -> tuple[Any, ...]:
    """What the generated NumPy module computes."""
    module = ModuleType("random_net")
    exec(compile(compile_graph(graph, dtype, **options).source, "<random_net>", "exec"), module.__dict__)
    inputs, weights = by_name(graph, data, np.float32 if dtype is DType.FLOAT32 else np.float64)
    results = module.Model(weights)(*inputs.values())
    return results if isinstance(results, tuple) else (results,)


def check_answers(net: RandomNet, graph: Graph, data: Data) -> bool:
    """Reference, passes, NumPy modules and PyTorch agree. Where float32 is too coarse they only run: False."""
    wanted = torch_results(net, data)
    assert all(np.isfinite(result).all() for result in wanted)
    found = dict(answers(net, graph, data))
    if not conditioned(net, data, wanted):
        return False
    for (name, tolerance), results in found.items():
        error = worst(results, wanted)
        assert error <= tolerance, f"{name} differs from PyTorch by {error:.2g} of the largest element"
    return True


def answers(net: RandomNet, graph: Graph, data: Data) -> Iterator[tuple[tuple[str, float], tuple[Any, ...]]]:
    """What is compared with PyTorch: each with a name and its tolerance."""
    inputs, weights = by_name(graph, data, np.float64)
    yield ("the reference", EXACT), interpret(graph, inputs, weights, np.float64)
    for name, passes in (("OPTIMIZE", OPTIMIZE), ("CHANNELS_LAST", CHANNELS_LAST)):
        optimized, _ = run_passes(graph, passes)
        yield (f"the reference after {name}", EXACT), interpret(optimized, inputs, weights, np.float64)
    if net.extra:
        options = {"passes": (Expand(), Hoist(), DeadCode())} if net.extra == "plain" else {}
        yield (
            (f"the NumPy module in float64, {net.extra},", EXACT),
            module_results(graph, data, DType.FLOAT64, **options),
        )
    yield ("the NumPy module", SINGLE), module_results(graph, data, DType.FLOAT32)
    inputs, weights = by_name(graph, data, np.float32)
    yield ("the reference in float32", SINGLE), interpret(graph, inputs, weights, np.float32)


def check(net: RandomNet) -> bool:
    """Everything; False where float32 is too coarse for the net's answers."""
    graph = read(net)
    check_texts(net, graph)
    check_expansion(net, graph)
    data = draw_data(net)
    check_costs(net, graph, data)
    return check_answers(net, graph, data)
