"""The net that a model becomes: nodes added in order, views arranged as operators need them, weights by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from math import prod

import numpy as np

from netdsl import codes
from netdsl.files import refuse
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Node, Value
from netdsl.limits import Limits
from netdsl.onnx.read.values import BATCH, Array, Axes, Axis, Extents, Known, Unreadable, View, plain_view
from netdsl.ops.base import ZEROS, Op
from netdsl.ops.each import Each
from netdsl.ops.linear import Fc
from netdsl.ops.maps import PixelShuffle, Shuffle
from netdsl.ops.sequence import Embed
from netdsl.ops.shape import Flatten, Reshape, Tokens, Transpose

WEIGHT = ".weight"


class Net:
    """Builds the graph of one net.

    batches  two sizes of the batch that every shape is worked out for, or the one that the model fixes.
    weights  arrays by the names of the graph's parameters.
    """

    def __init__(self, name: str, batches: Extents, limits: Limits) -> None:
        self.builder = GraphBuilder(name)
        self.batches = batches
        self.weights: dict[str, Array] = {}
        self.here = ""
        self._limits = limits
        self._taken: set[str] = set()
        self._arranged: dict[tuple[Value, Extents, Axes], Value] = {}
        self._rows: dict[Value, Value] = {}
        self._parameters: dict[tuple[str, Extents], Value] = {}
        self._tables: dict[str, Value] = {}
        self._makers: dict[Value, Node] = {}
        self._uses: dict[tuple[Op, tuple[str, ...]], str] = {}

    def unique(self, name: str, leaves: Sequence[str] = ()) -> str:
        """A name that the net does not have yet, made of letters, digits, `_` and points, with those of its weights."""
        name = sayable(name)
        result, count = name, 1
        while not self._taken.isdisjoint((result, *(f"{result}.{leaf}" for leaf in leaves))):
            count += 1
            result = f"{name}_{count}"
        self._taken.update((result, *(f"{result}.{leaf}" for leaf in leaves)))
        return result

    def add(self, op: Op, *operands: Value, weights: Sequence[Known] = (), name: str = "") -> tuple[Value, ...]:
        """A node with its weights, in the order of `op.weights`; raises ShapeError where operands or weights misfit."""
        signature = self.builder.signature(op, operands)
        wanted = signature.weights[: len(weights)] if weights else ()
        if len(weights) != len(signature.weights):
            raise Unreadable(f"{op.word} has {len(signature.weights)} weights, but {len(weights)} are given")
        arrays = [known.fixed("a weight") for known in weights]
        for weight, array in zip(wanted, arrays, strict=True):
            if array.shape != weight.type.shape:
                extents = " x ".join(map(str, array.shape))
                raise Unreadable(f"its {weight.name} is {extents}, but this operand needs {weight.type.shape}")
        stem = next((known.name.removesuffix(WEIGHT) for known in weights if known.name.endswith(WEIGHT)), "")
        key = (signature.op, tuple(known.name for known in weights))
        # Exporters write equal tensors once, and all fresh norms are equal: none of them is another called again.
        own = all(array.size and (array == array.flat[0]).all() for array in arrays)
        shared = self._uses.get(key) if weights and all(key[1]) and not own else None
        label = self.unique(name or stem or self.here or op.word, [weight.name for weight in signature.weights])
        tied = self._tables.get(weights[0].name) if isinstance(op, Fc) and len(weights) == 1 else None
        if tied is not None and tied.type == wanted[0].type:  # a head that has the table of the words for weights
            results = self.builder.node(op, operands, name=label, weights=(tied,), signature=signature)
        else:
            tied = None
            results = self.builder.node(op, operands, name=label, shared=shared, signature=signature)
        if isinstance(op, Embed) and weights[0].name:
            self._tables.setdefault(weights[0].name, self.builder.nodes[-1].inputs[1])
        self._check(results)
        self._makers.update(dict.fromkeys(results, self.builder.nodes[-1]))
        if weights and not shared and tied is None:
            self._uses[key] = label
            for weight, array in zip(wanted, arrays, strict=True):
                self.weights[f"{label}.{weight.name}"] = np.ascontiguousarray(array, np.float32)
        return results

    def maker(self, value: Value) -> Node | None:
        """The node that makes a value; None for inputs and weights."""
        return self._makers.get(value)

    def one(self, op: Op, *operands: Value, weights: Sequence[Known] = (), name: str = "") -> Value:
        """The result of a node that has one."""
        (result,) = self.add(op, *operands, weights=weights, name=name)
        return result

    def parameter(self, known: Known, shape: Extents | None = None) -> Value:
        """Known numbers as a weight of the net, under other extents where they are given."""
        array = known.fixed("a constant")
        extents = array.shape if shape is None else shape
        key = (known.name, extents)
        if known.name and key in self._parameters:
            return self._parameters[key]
        name = self.unique(known.name or f"{self.here or 'net'}.value")
        value = self.builder.parameter(name, extents, ZEROS)
        self.weights[name] = np.ascontiguousarray(array, np.float32).reshape(extents)
        if known.name:
            self._parameters[key] = value
        return value

    def _check(self, results: tuple[Value, ...]) -> None:
        if len(self.builder.nodes) > self._limits.layers:
            raise refuse(codes.TOO_MANY_LAYERS, f"the model becomes more than {self._limits.layers} layers")
        for value in results:
            if value.type.elements > self._limits.tensor_elements:
                message = f"{value.name} would have {value.type.elements} elements, more than the limit"
                raise refuse(codes.TENSOR_TOO_LARGE, message)
            if value.type.rank > self._limits.rank:
                raise Unreadable(f"it would have {value.type.rank} axes; {self._limits.rank} are allowed")

    def arrange(self, view: View, groups: Sequence[Axis]) -> Value:
        """A tensor whose axes are these products of atoms of the view, each atom once; those of extent 1 may lack."""
        key = (view.value, view.atoms, tuple(groups))
        if key not in self._arranged:
            self._arranged[key] = self._arrange(view, groups)
        return self._arranged[key]

    def _arrange(self, view: View, groups: Sequence[Axis]) -> Value:
        value = view.value
        shape = tuple(prod(view.atoms[atom] for atom in group) for group in groups)
        runs = _runs(view.atoms, [atom for group in groups for atom in group if view.atoms[atom] > 1])
        places = sorted(range(len(runs)), key=lambda index: runs[index])
        order = tuple(places.index(index) for index in range(len(runs)))
        if order == tuple(range(len(runs))):
            return self.reshaped(value, shape)
        extents = tuple(prod(view.atoms[atom] for atom in runs[index]) for index in places)
        known = _known_movement(value.type.shape, extents, order, shape)
        if known:
            return self.one(known, value)
        whole = _order_of_axes(value.type.shape, view.atoms, [atom for group in groups for atom in group])
        ends = tuple(extents[index] for index in order) == shape
        if whole is not None and extents != value.type.shape and not ends:
            return self.reshaped(self.one(Transpose(whole), value), shape)
        moved = self.one(Transpose(order), self.reshaped(value, extents))
        return self.reshaped(moved, shape)

    def reshaped(self, value: Value, shape: Extents) -> Value:
        """The same elements under other extents; the same tensor where they are its own."""
        if value.type.shape == shape:
            return value
        return self.one(Flatten() if len(shape) == 1 and value.type.rank else Reshape(shape), value)

    def plain(self, view: View) -> tuple[Value, int | None]:
        """A tensor with the ONNX axes but the batch, in their order, and where the batch was. Raises Unreadable."""
        place = view.batch_axis
        if place is not None and any(atom != BATCH and view.atoms[atom] > 1 for atom in view.axes[place]):
            raise Unreadable("an axis holds the batch and more")
        return self.arrange(view, [axis for index, axis in enumerate(view.axes) if index != place]), place

    def batch_first(self, view: View, rank: int | None = None) -> Value:
        """A tensor whose batch is ONNX's first axis, or whose first axis has a single element. Raises Unreadable."""
        if rank is not None and view.rank != rank:
            raise Unreadable(f"it has {view.rank} axes, not {rank}")
        if view.batch_axis is None and view.rank and view.per_sample(0) == 1:
            return self.arrange(view, view.axes[1:])
        value, place = self.plain(self.each(view))
        if place != 0:
            raise Unreadable("its first axis is not the batch")
        return value

    def each(self, view: View) -> View:
        """A batch with a leading axis merged into it as rows of the batch; others stay as they are."""
        if not view.rank or view.axes[0][:1] != (BATCH,) or view.per_sample(0) == 1 or not view.value.type.batch:
            return view
        value = self.arrange(view, [view.axes[0][1:], *view.axes[1:]])
        if value not in self._rows:
            self._rows[value] = self.one(Each(), value)
        return plain_view(self._rows[value], 0, view.whole)

    def back(self, value: Value, view: View) -> View:
        """What was computed from `batch_first(view)`, as ONNX sees it."""
        if view.batch_axis == 0:
            return plain_view(value, 0, view.whole)
        result = plain_view(value, None, view.whole)
        return View(value, result.atoms, ((), *result.axes), view.whole)


def sayable(name: str) -> str:
    """A name of ONNX, of letters, digits, `_` and points."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", name).strip("._")[-100:].lstrip(".") or "x"


def _order_of_axes(shape: Extents, atoms: Extents, order: Sequence[int]) -> tuple[int, ...] | None:
    """The order of a tensor's own axes that an order of its atoms is, where it takes none of them apart."""
    parts: list[tuple[int, ...]] = []
    at = 0
    for extent in shape:
        first, reached = at, 1
        while at < len(atoms) and (reached < extent or at == first):
            reached, at = reached * atoms[at], at + 1
        parts.append(tuple(range(first, at)))
    starts = {part[0]: axis for axis, part in enumerate(parts) if part}
    axes = [starts[atom] for atom in order if atom in starts]
    straight = [atom for axis in axes for atom in parts[axis]]
    return tuple(axes) if straight == list(order) and len(axes) == len(shape) else None


def _runs(atoms: Extents, order: Sequence[int]) -> list[tuple[int, ...]]:
    """An order of atoms, cut into runs that follow each other in memory too (atoms of extent 1 between them or not)."""
    kept = [index for index, extent in enumerate(atoms) if extent > 1]
    after = dict(pairwise(kept))
    runs: list[tuple[int, ...]] = []
    for atom in order:
        if runs and after.get(runs[-1][-1]) == atom:
            runs[-1] += (atom,)
        else:
            runs.append((atom,))
    return runs


def _known_movement(source: Extents, extents: Extents, order: tuple[int, ...], shape: Extents) -> Op | None:
    """The operator that reshapes to `extents`, transposes by `order` and reshapes to `shape`, where it has a name."""
    if len(source) == 3 and order == (1, 0) and extents[0] == source[0] and shape == (extents[1], extents[0]):
        return Tokens()
    swapped = order[:2] == (1, 0) and order[2:] == tuple(range(2, len(order))) and len(source) > 1
    if swapped and shape == source and extents[0] * extents[1] == source[0]:
        return Shuffle(extents[0])
    if order == (2, 0, 3, 1):  # to a single channel
        order, extents = (0, 3, 1, 4, 2), (1, *extents)
    if order == (0, 3, 1, 4, 2) and len(source) == 3:
        channels, factor = extents[:2]
        grown = (channels, source[1] * factor, source[2] * factor)
        if extents == (channels, factor, factor, *source[1:]) and shape == grown:
            return PixelShuffle(factor)
    return None
