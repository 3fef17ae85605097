"""The library: `netdsl.load` and what can be done with a network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from netdsl import backends, codes, driver
from netdsl.analysis import summary, table
from netdsl.diagnostics import Diagnostic, NetError, Report
from netdsl.files import refuse
from netdsl.ir.graph import Graph
from netdsl.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from netdsl.codegen.artifact import Artifact

__all__ = ["NetError", "Network", "load"]


def load(
    path: str | os.PathLike[str],
    net: str | None = None,
    shape: Mapping[str, tuple[int, ...]] | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
    **parameters: object,
) -> Network:
    """Read a `.net` file and build one of its nets.

    net         which net, where the file holds several.
    shape       shapes per sample of inputs by name, such as `{"image": (3, 320, 320)}`.
    parameters  the net's parameters, such as `classes=10`.

    Raises NetError with every mistake found.
    """
    report = Report()
    shapes = {name: _shape(name, extents) for name, extents in (shape or {}).items()}
    graph = driver.build(driver.Request(os.fspath(path), net, parameters, shapes, limits), report)
    return Network(graph, report.diagnostics, limits)


class Network:
    """A network with all of its shapes known. `graph` is its IR, `warnings` what is legal but probably not meant."""

    def __init__(self, graph: Graph, warnings: tuple[Diagnostic, ...] = (), limits: Limits = DEFAULT_LIMITS) -> None:
        self.graph = graph
        self.warnings = warnings
        self._limits = limits

    def __repr__(self) -> str:
        return f"<netdsl.Network {self.graph.name}, {len(self.graph.nodes)} layers>"

    def summary(self, batch: int = 1, dtype: str = "float32", depth: int | None = None) -> NetworkSummary:
        """What `netdsl summary` shows, counted for a batch. Raises NetError (E0703) for an unknown dtype."""
        return NetworkSummary(summary.summarise(self.graph, batch, backends.dtype_named(dtype), depth))

    def init_weights(self, seed: int = 0) -> dict[str, Any]:
        """Fresh weights by name, as float32 arrays: the same for the same seed on every machine."""
        from netdsl import weights

        return weights.initialise(self.graph, seed, self._limits)

    def run(self, *inputs: Any, weights: Mapping[str, Any] | None = None, **named: Any) -> Any:
        """The reference interpreter on `N x C x H x W` arrays; several outputs come as a tuple.

        `net.run(x, weights)`, or by name: `net.run(left=x, right=y, weights=weights)`. Computes in float64 where an
        input or a weight is float64, else in float32. Raises NetError on missing, extra or misshapen arrays.
        """
        import numpy as np

        from netdsl.reference.interpret import interpret
        from netdsl.weights import check_inputs, check_weights

        if weights is None and inputs and isinstance(inputs[-1], Mapping):
            *inputs, weights = inputs  # type: ignore[assignment]
        given = {value.name: array for value, array in zip(self.graph.inputs, inputs, strict=False)}
        extra = {f"input {number + 1}": array for number, array in enumerate(inputs) if number >= len(given)}
        arrays = {name: np.asarray(array) for name, array in {**given, **extra, **named}.items()}
        tensors = {name: np.asarray(array) for name, array in (weights or {}).items()}
        dtype = np.float64 if any(a.dtype == np.float64 for a in (*arrays.values(), *tensors.values())) else np.float32
        check_weights(self.graph, tensors)
        check_inputs(self.graph, arrays, dtype)
        outputs = interpret(self.graph, arrays, tensors, dtype)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def compile(self, backend: str = "numpy", dtype: str = "float32") -> Artifact:
        """A module that runs without netdsl: `.source` is its text, `.write(path)` writes it.

        Raises NetError where the backend lacks the dtype (E0703) or an operator (E0704).
        """
        return backends.generate(self.graph, backend, dtype)


def _shape(name: str, extents: object) -> tuple[int, ...]:
    if isinstance(extents, list | tuple) and all(type(extent) is int and extent >= 0 for extent in extents):
        return tuple(extents)
    raise refuse(codes.BAD_OPTION, f"the shape of {name} must be a tuple of whole numbers, not {extents!r:.100}")


class NetworkSummary:
    """A summary that prints as the table, in a notebook too."""

    def __init__(self, content: summary.Summary) -> None:
        self.content = content

    def __repr__(self) -> str:
        return table.text(self.content).rstrip("\n")

    def _repr_html_(self) -> str:
        return table.html(self.content)

    def to_dict(self) -> dict[str, Any]:
        """The content of `netdsl summary --format json`."""
        return self.content.to_dict()
