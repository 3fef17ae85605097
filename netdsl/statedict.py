"""PyTorch state dicts: which of their modules are which of our layers.

A module of the state dict is the entries that share all of their name but the last part (`layer1.0.bn1`); a layer of
ours likewise. Where PyTorch numbers the layers of a recurrent module, each number and direction is a module of its own:
`rnn.weight_ih_l1_reverse` is `weight_ih` of `rnn.l1_reverse`. A tensor that a loop, or a list, numbers is a layer: the
`gamma` of `gamma.1.0`. The mapping is found in four steps, each verified, and every tensor is used exactly once:

1. modules that the caller placed;
2. equal names with equal shapes;
3. the rest in order, if both sides list the same sequence of signatures (the names and shapes of a layer's tensors):
   ours in the order of the text, theirs in the order of registration, which both follow the data;
4. otherwise by signature, if none occurs twice. One that does leaves a choice, and so is an error that asks for step 1:
   a shortcut that is registered first, say, may have the very shapes of the convolution that it goes around.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netdsl import codes
from netdsl.diagnostics import Diagnostic, NetError
from netdsl.ir.graph import Graph, Parameter
from netdsl.tensor import shape_text
from netdsl.tensorfile import shown

Shape = tuple[int, ...]

COUNTER = "num_batches_tracked"
"""What PyTorch's batch norm counts while it trains; nothing computes with it at inference, so it is left out."""

_NUMBERED = re.compile(r"^(.*\.|)((?:weight|bias)_[ih]h)_(l\d+(?:_reverse)?)$")

_INDICES = re.compile(r"(?:.*\.)?([^.]*[^.0-9][^.]*)(?:\.[0-9]+)+$")


class Layer(NamedTuple):
    """The tensors of one layer or module, by the last parts of their names, without leading axes of one element.

    Modules keep an axis of samples in tables of positions; no two tensors of one layer are told apart by it.
    """

    name: str
    shapes: frozenset[tuple[str, Shape]]

    def __str__(self) -> str:
        tensors = ", ".join(f"{leaf} {shape_text(shape)}" for leaf, shape in sorted(self.shapes))
        return f"`{shown(self.name)}` ({tensors})"


def from_state_dict(
    graph: Graph, state_dict: Mapping[str, Any], mapping: Mapping[str, str] | None = None
) -> dict[str, NDArray[Any]]:
    """The weights of `graph`, float32 by name, from a state dict of tensors on the CPU, or of arrays.

    Numbers that the text lists (`param anchors: 3x2 = [...]`) are the text's where the state dict has none.
    `mapping` places layers of ours at modules of theirs: `{"resnet.conv": "conv1"}`.
    Raises NetError: E0506 (layers without a counterpart), E0507 (several ways to match them).
    """
    modules = dict(match_layers(graph, state_dict, mapping))
    tensors = {_parts(_apart(name)): tensor for name, tensor in state_dict.items()}
    weights = {}
    for parameter in graph.parameters:
        layer, leaf = _parts(parameter.value.name)
        if _is_listed(parameter, state_dict):
            numbers = np.array(parameter.init.numbers, np.float32)
            weights[parameter.value.name] = numbers.reshape(parameter.value.type.shape)
            continue
        tensor = tensors[modules[layer], leaf]
        plain = tensor.detach().float() if hasattr(tensor, "detach") else tensor  # NumPy has no bfloat16
        weights[parameter.value.name] = np.asarray(plain).astype(np.float32).reshape(parameter.value.type.shape)
    return weights


def match_layers(
    graph: Graph, state_dict: Mapping[str, Any], mapping: Mapping[str, str] | None = None
) -> tuple[tuple[str, str], ...]:
    """The table of what goes where: pairs of our layer and their module, in our order. Errors as `from_state_dict`."""
    return tuple((name, module) for name, module, _ in matched(graph, state_dict, mapping))


def table(graph: Graph, state_dict: Mapping[str, Any], mapping: Mapping[str, str] | None = None) -> str:
    """The same as text, a layer a line, with the tensors of each and what it was matched by. Errors likewise."""
    ours = _layers((p.value.name, p.value.type.shape) for p in graph.parameters)
    rows = [
        (name, "<-", shown(module), how, str(ours[name]).partition(" ")[2].strip("()"))
        for name, module, how in matched(graph, state_dict, mapping)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in rows
    )


def matched(
    graph: Graph, state_dict: Mapping[str, Any], mapping: Mapping[str, str] | None = None
) -> tuple[tuple[str, str, str], ...]:
    """Our layers in our order, the module of each, and by which step it was found. Errors as `from_state_dict`."""
    ours = _layers((p.value.name, p.value.type.shape) for p in graph.parameters if not _is_listed(p, state_dict))
    theirs = _layers((_apart(name), tuple(tensor.shape)) for name, tensor in state_dict.items())
    found = dict(_placed(ours, theirs, mapping or {}))
    steps = dict.fromkeys(found, "as placed")
    found |= {name: name for name, layer in ours.items() if name not in found and theirs.get(name) == layer}
    taken = set(found.values())
    left = [layer for name, layer in ours.items() if name not in found]
    right = [layer for name, layer in theirs.items() if name not in taken]
    _check_counterparts(graph, left, right)
    same = [a.shapes for a in left] == [b.shapes for b in right]
    steps |= dict.fromkeys((layer.name for layer in left), "by order" if same else "by shape")
    found |= zip((layer.name for layer in left), (layer.name for layer in _reordered(left, right)), strict=True)
    return tuple((name, found[name], steps.get(name, "by name")) for name in ours)


def _is_listed(parameter: Parameter, state_dict: Mapping[str, Any]) -> bool:
    """Whether the text says a weight's numbers, and the state dict nothing of it."""
    return parameter.init.kind == "list" and parameter.value.name not in state_dict


def _apart(name: str) -> str:
    """The name of a tensor, its layer's number in a recurrent module as part of the module's name."""
    return _NUMBERED.sub(r"\1\3.\2", name)


def _parts(name: str) -> tuple[str, str]:
    """A tensor's layer, and its own name there; one that loops number is a layer: the `gamma` of `gamma.1.0`."""
    numbered = _INDICES.match(name)
    if numbered:
        return name, numbered[1]
    layer, _, leaf = name.rpartition(".")
    return layer, leaf


def _layers(tensors: Iterable[tuple[str, Shape]]) -> dict[str, Layer]:
    groups: dict[str, list[tuple[str, Shape]]] = {}
    for name, shape in tensors:
        layer, leaf = _parts(name)
        if leaf != COUNTER:
            while len(shape) > 1 and shape[0] == 1:
                shape = shape[1:]
            groups.setdefault(layer, []).append((leaf, shape))
    return {name: Layer(name, frozenset(entries)) for name, entries in groups.items()}


def _placed(
    ours: Mapping[str, Layer], theirs: Mapping[str, Layer], mapping: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    wrong = []
    uses = Counter(mapping.values())
    for name, module in mapping.items():
        if name not in ours:
            wrong.append(f"the mapping names `{shown(name)}`, which is not a layer with weights")
        elif module not in theirs:
            wrong.append(f"the mapping names `{shown(module)}`, which is not a module of the state dict")
        elif ours[name].shapes != theirs[module].shapes:
            wrong.append(f"the mapping places {ours[name]} at {theirs[module]}")
        elif uses[module] > 1:
            wrong.append(f"the mapping uses `{shown(module)}` {uses[module]} times")
        else:
            yield name, module
    if wrong:
        raise NetError(Diagnostic(codes.LAYERS_DO_NOT_MATCH, message) for message in wrong)


def _check_counterparts(graph: Graph, left: list[Layer], right: list[Layer]) -> None:
    ours, theirs = Counter(layer.shapes for layer in left), Counter(layer.shapes for layer in right)
    found = []
    for layers, more, fewer, message in (
        (left, ours, theirs, f"no module of the state dict is left for the layer {{}} of {graph.name}"),
        (right, theirs, ours, f"no layer of {graph.name} is left for the module {{}} of the state dict"),
    ):
        seen: Counter[frozenset[tuple[str, Shape]]] = Counter()
        for layer in layers:
            seen[layer.shapes] += 1
            if fewer[layer.shapes] < seen[layer.shapes] <= more[layer.shapes]:
                found.append(Diagnostic(codes.LAYERS_DO_NOT_MATCH, message.format(layer)))
    if found:
        raise NetError(found)


def _reordered(left: list[Layer], right: list[Layer]) -> list[Layer]:
    """The layers of `right` in the order of `left`, which has the same signatures."""
    differ = [(a, b) for a, b in zip(left, right, strict=True) if a.shapes != b.shapes]
    if not differ:
        return right
    by_signature = {layer.shapes: layer for layer in right}
    if len(by_signature) < len(right):
        a, b = differ[0]
        message = f"the state dict has another order, and layers that only their order tells apart: at {a} it has {b}"
        option, argument = f"--place {shown(a.name)}=MODULE", f'mapping={{"{shown(a.name)}": "MODULE"}}'
        help = f"place the layers that stand elsewhere: `{option}`, or in Python `{argument}`"
        raise NetError((Diagnostic(codes.AMBIGUOUS_LAYERS, message, help=help),))
    return [by_signature[layer.shapes] for layer in left]
