"""What a random net means, layer by layer: an expansion of its own, with which the elaborator's graph is compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from netdsl.ops.base import Op
from netdsl.tensor import DType, TensorType


@dataclass(frozen=True)
class Layer:
    """One operation: `op` as the text writes it, its operands and results by number, its weights by number."""

    op: Op
    operands: tuple[int, ...]
    weights: tuple[int, ...]
    results: tuple[int, ...]


@dataclass(frozen=True)
class WeightSpec:
    """One weight, in the order of making. `kind` says which numbers suit: `scaled`, `positive` or `normal`."""

    shape: tuple[int, ...]
    kind: str
    trainable: bool = True


@dataclass
class Trace:
    """The layers so far. Tensors are numbers: places in `types`."""

    types: list[TensorType] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    weights: list[WeightSpec] = field(default_factory=list)
    parameters: dict[int, int] = field(default_factory=dict)
    """Tensors that are weights (`param`), and which."""
    _given: Iterator[int] | None = None
    """The weights of a shared layer's first call, while it is called again."""

    def fork(self) -> Trace:
        """A copy, to try what comes next."""
        lists = (list(items) for items in (self.types, self.inputs, self.layers, self.weights))
        return Trace(*lists, parameters=dict(self.parameters))

    def tensor(self, type: TensorType) -> int:
        self.types.append(type)
        return len(self.types) - 1

    def input(self, shape: tuple[int, ...], dtype: DType = DType.FLOAT32) -> int:
        self.inputs.append(self.tensor(TensorType(shape, dtype)))
        return self.inputs[-1]

    def parameter(self, shape: tuple[int, ...], kind: str = "normal", trainable: bool = True) -> int:
        value = self.tensor(TensorType(shape, DType.FLOAT32, 0))
        self.parameters[value] = self._weight(WeightSpec(shape, kind, trainable))
        return value

    def operands(self, layer: Layer) -> tuple[TensorType, ...]:
        return tuple(self.types[value] for value in layer.operands)

    def resolved(self) -> list[Op]:
        """The operators with everything implied written out: `pool to=` may become another."""
        return [layer.op.resolve(self.operands(layer)) for layer in self.layers]

    def apply(self, op: Op, *operands: int) -> tuple[int, ...]:
        types = tuple(self.types[value] for value in operands)
        resolved = op.resolve(types)
        weights = tuple(
            self._weight(WeightSpec(w.shape, _kind(w.name, w.shape), w.trainable)) for w in resolved.weights(types)
        )
        results = tuple(self.tensor(type) for type in resolved.infer(types))
        self.layers.append(Layer(op, operands, weights, results))
        return results

    @contextmanager
    def shared(self, known: list[int]) -> Iterator[None]:
        """Calls of one shared layer: the first fills `known`, the others use it."""
        before, outer = len(self.weights), self._given
        first = not known
        self._given = outer if first else iter(known)
        yield
        if first:
            known.extend(range(before, len(self.weights)))
        self._given = outer

    def _weight(self, spec: WeightSpec) -> int:
        if self._given is not None:
            number = next(self._given)
            assert self.weights[number] == spec
            return number
        self.weights.append(spec)
        return len(self.weights) - 1


def _kind(name: str, shape: tuple[int, ...]) -> str:
    return "positive" if name == "running_var" else "scaled" if len(shape) > 1 else "normal"


def bound(op: type[Op], values: dict[str, Any], environment: dict[str, Any], it: TensorType) -> Op:
    """The operator with its expressions worked out."""
    return op(
        **{name: value.value(environment, it) if hasattr(value, "value") else value for name, value in values.items()}
    )
