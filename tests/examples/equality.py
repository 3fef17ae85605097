"""Nets against PyTorch modules that we did not generate: the same weights, the same input, the same answer."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import netdsl
from netdsl.analysis.vocabulary import index_limits
from netdsl.ops.elementwise import Scale
from netdsl.ops.regions import RegionOp
from netdsl.reference.interpret import interpret
from netdsl.tensor import DType, TensorType
from netdsl.weights import from_state_dict, write

EXAMPLES = Path(__file__).parents[2] / "examples"
TOLERANCE = 2e-5
SAMPLES = 2
WORDS = 11
"""Rows that every table has that is compared."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """How a net is compared with a PyTorch module.

    build     makes the module.
    shape     of its input per sample, odd and small; of every input by name, where there are several.
    mapping   layers of ours to modules of theirs, where the order does not say it.
    settings  of the net's parameters: a narrow net compares sooner.
    full      makes the module that the net is without such settings, for its totals.
    """

    build: Callable[..., Any]
    shape: tuple[int, ...] | Mapping[str, tuple[int, ...]]
    mapping: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    full: Callable[..., Any] | None = None

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {"image": self.shape} if isinstance(self.shape, tuple) else self.shape


def prepared(build: Callable[[], Any]) -> Any:
    """The module with weights that leave nothing out: batch norm's are not the identity. Dropout is off."""
    import torch

    torch.manual_seed(0)
    model = build().eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            for tensor, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.2, 0.2),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 1.5),
            ):
                torch.nn.init.uniform_(tensor, low, high)
    return model


def state(model: Any) -> dict[str, Any]:
    """The module's tensors; a 1x1 convolution on flat features, as timm's heads have it, is the matrix that it is."""
    tensors = dict(model.state_dict())
    name = "head.fc.weight"
    if name in tensors and tensors[name].ndim == 4:
        tensors[name] = tensors[name][:, :, 0, 0]
    return tensors


def answers(model: Any, inputs: list[Array]) -> list[Array]:
    """Every output of the module, in its order; of a module that returns none of its heads, what is left."""
    import torch

    with torch.no_grad():
        found = model(*map(torch.from_numpy, inputs))
    results = [found] if torch.is_tensor(found) else list(found.values() if isinstance(found, dict) else found)
    return [result.numpy() for result in results if result is not None]


def samples(net: netdsl.Network, seed: int = 0) -> list[Array]:
    """Normal numbers, but boxes that lie in the picture, rows of a table for indices, and a third of all hidden."""
    draw = np.random.default_rng(seed)
    extents = {
        node.operands[1]: [(extent - 1) / node.op.scale for extent in node.operands[0].type.shape[:0:-1]]
        for node in net.graph.nodes
        if isinstance(node.op, RegionOp)
    }
    arrays: list[Any] = []
    limits = index_limits(net.graph)
    for value in net.graph.inputs:
        shape = (SAMPLES, *value.type.shape)
        if not value.type.dtype.is_float:
            numbers = draw.integers(0, limits.get(value.name, 3), shape)
            arrays.append(numbers == 0 if value.type.dtype is DType.BOOL else numbers)
            continue
        array = draw.standard_normal(shape)
        if value in extents:
            array = np.sort(draw.random((SAMPLES, value.type.shape[0], 2, 2)), axis=2).reshape(shape)
            array *= extents[value] * 2
        arrays.append(array.astype(np.float32))
    return arrays


def generated(net: netdsl.Network, weights: Mapping[str, Any], folder: Path) -> Any:
    """The net's NumPy module, loaded with these weights from a file."""
    net.compile(backend="numpy").write(str(folder / "module.py"))
    write(str(folder / "weights.safetensors"), weights)
    spec = importlib.util.spec_from_file_location("module", folder / "module.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load(str(folder / "weights.safetensors"))


def disagreement(found: Array, wanted: Array) -> float:
    assert found.shape == wanted.shape
    return float(abs(found - wanted).max() / abs(wanted).max())


def constant_branches(net: netdsl.Network, inputs: list[Array], weights: Mapping[str, Array]) -> list[str]:
    """What layers of several operands read, and the outputs, as far as it is one number all over a sample.

    A branch that says nothing could be wrong unseen. What is made of weights alone or by `scale 0.0` may be constant.
    """
    graph = net.graph
    apart = {node.outputs[0] for node in graph.nodes if isinstance(node.op, Scale) and node.op.factor == 0}
    joined = [value for node in graph.nodes if len(node.operands) > 1 for value in node.operands]
    values = [value for value in dict.fromkeys((*joined, *graph.outputs)) if value.type.batch and value not in apart]
    watched = replace(graph, results=tuple((f"v{number}", value) for number, value in enumerate(values)))
    arrays = dict(zip((value.name for value in graph.inputs), inputs, strict=True))
    found = interpret(watched, arrays, weights, np.float32)
    return [value.name for value, array in zip(values, found, strict=True) if constant(array)]


def constant(array: Array) -> bool:
    rows = array.reshape(len(array), -1)
    return rows.shape[1] > 1 and bool((rows.max(1) == rows.min(1)).any())


def check_equal(net: netdsl.Network, model: Any, folder: Path, mapping: Mapping[str, str]) -> None:
    """Reference and NumPy module give the module's answers, and no branch is silent."""
    weights = from_state_dict(net.graph, state(model), mapping)
    inputs = samples(net)
    wanted = answers(model, inputs)
    assert constant_branches(net, inputs, weights) == []
    for found in (net.run(*inputs, weights=weights), generated(net, weights, folder)(*inputs)):
        results = found if isinstance(found, tuple) else (found,)
        for result, want in zip(results, wanted, strict=True):
            assert disagreement(result, want) <= TOLERANCE


def own_totals(net: netdsl.Network) -> dict[str, Any]:
    """The net's totals; of the buffers those that no text lists, which PyTorch's modules do not keep."""
    found: dict[str, Any] = net.summary().to_dict()["totals"]
    found["buffers"] -= sum(weight.value.type.size for weight in net.graph.parameters if weight.init.kind == "list")
    return found


def counted(build: Callable[[], Any], types: list[TensorType]) -> dict[str, int]:
    """Totals of the module as PyTorch counts them, without computing anything."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = build().eval().requires_grad_(False)
        inputs = [torch.zeros(1, *type.shape, dtype=getattr(torch, type.dtype.label)) for type in types]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(*inputs)
    kept = model.state_dict()
    buffers = sum(t.numel() for name, t in model.named_buffers() if name in kept and not name.endswith("tracked"))
    parameters = sum(tensor.numel() for tensor in model.parameters())
    return {"params": parameters, "buffers": buffers, "macs": counter.get_total_flops() // 2}
