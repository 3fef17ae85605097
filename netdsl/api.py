"""The library: `netdsl.load` and what can be done with a network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netdsl import arguments, backends, codes, driver, extras, files
from netdsl.analysis import summary, table
from netdsl.diagnostics import Diagnostic, NetError, Report
from netdsl.ir.graph import Graph
from netdsl.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from netdsl.codegen.artifact import Artifact
    from netdsl.onnx.read.program import Imported

__all__ = ["NetError", "Network", "from_onnx", "from_torch", "load", "to_torch"]


def load(
    path: str | os.PathLike[str],
    net: str | None = None,
    shape: Mapping[str, Sequence[int]] | None = None,
    *,
    training: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    **parameters: object,
) -> Network:
    """Read a `.net` file and build one of its nets.

    net         which net, where the file holds several.
    shape       shapes per sample of inputs by name, such as `{"image": (3, 320, 320)}`.
    training    whether `training` is true in the text: some nets have heads that only training uses.
    parameters  the net's parameters, such as `classes=10`; numbers and arrays may be NumPy's.

    Raises NetError with every mistake found.
    """
    report = Report()
    shapes = {
        name: arguments.shape(name, extents)
        for name, extents in arguments.mapping("shape", {} if shape is None else shape).items()
    }
    if not isinstance(training, bool):
        raise files.refuse(codes.BAD_OPTION, f"training must be True or False, not {arguments.shown(training)}")
    if not isinstance(limits, Limits):
        raise files.refuse(codes.BAD_OPTION, f"limits must be netdsl.limits.Limits, not {arguments.shown(limits)}")
    settings = {name: arguments.plain(value) for name, value in parameters.items()}
    chosen = None if net is None else arguments.word("net", net)
    graph = driver.build(
        driver.Request(arguments.path("a program", path), chosen, settings, shapes, training, limits), report
    )
    return Network(graph, report.diagnostics, limits)


def from_onnx(
    path: str | os.PathLike[str],
    shape: Mapping[str, Sequence[int]] | None = None,
    constants: Mapping[str, Any] | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> Imported:
    """An ONNX model as a program: `.text`, `.weights` by name, `.graph`, and `.write("out.net")`.

    shape      shapes per sample of inputs that the model leaves open, such as `{"image": (3, 224, 224)}`.
    constants  arrays for inputs that settle shapes or are weights, and so must be known.

    Raises NetError with everything that cannot be read or expressed.
    """
    import numpy as np

    from netdsl.onnx.read.program import import_file

    shapes = {name: arguments.shape(name, extents) for name, extents in arguments.mapping("shape", shape or {}).items()}
    known = {name: np.asarray(array) for name, array in arguments.mapping("constants", constants or {}).items()}
    return import_file(arguments.path("a model", path), shapes, known, limits)


def from_torch(module: Any, example: Any, *, limits: Limits = DEFAULT_LIMITS) -> Imported:
    """A `torch.nn.Module` as a program, as it is at inference, traced on an example input (or a tuple of them).

    The first axis of each input is the batch; give two samples or more. Raises NetError.
    """
    from netdsl.onnx.read.torch import import_module

    return import_module(module, example, limits)


def to_torch(net: Network, weights: Mapping[str, Any] | None = None, *, dtype: object = "float32") -> Any:
    """The network as an `nn.Module`, made of the module that `net.compile(backend="torch")` writes, in training mode.

    Its weights are `weights`, or fresh ones, as `net.init_weights()` gives them. Raises NetError: E0702 (PyTorch is not
    installed), E0703, E0704, and E0501 to E0504 (the weights).
    """
    torch = extras.load("torch", "to_torch")
    import numpy as np

    from netdsl.weights import check_weights

    given = net.init_weights() if weights is None else arguments.mapping("weights", weights)
    arrays = {name: _array(f"the weight {name}", array) for name, array in given.items()}
    check_weights(net.graph, arrays)
    artifact = net.compile("torch", dtype)
    module: dict[str, Any] = {"__name__": artifact.name}
    exec(compile(artifact.source, f"<{artifact.name}>", "exec"), module)  # our own text: names in it are identifiers
    model = module["MODEL"]().to(module["DTYPE"])
    model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})
    return model


class Network:
    """A network with all of its shapes known. `graph` is its IR, `warnings` what is legal but probably not meant."""

    def __init__(self, graph: Graph, warnings: tuple[Diagnostic, ...] = (), limits: Limits = DEFAULT_LIMITS) -> None:
        self.graph = graph
        self.warnings = warnings
        self._limits = limits

    def __repr__(self) -> str:
        return f"<netdsl.Network {self.graph.name}, {len(self.graph.nodes)} layers>"

    def summary(self, batch: int = 1, dtype: object = "float32", depth: int | None = None) -> NetworkSummary:
        """What `netdsl summary` shows, counted for a batch, blocks deeper than `depth` folded.

        A dtype is a name, or NumPy's or PyTorch's dtype of that name. Raises NetError (E0615, E0703).
        """
        samples = arguments.whole("batch", batch, 1, arguments.LARGEST_BATCH)
        folded = None if depth is None else arguments.whole("depth", depth, 0, arguments.LARGEST_BATCH)
        element = backends.dtype_named(arguments.dtype_name(dtype))
        return NetworkSummary(summary.summarise(self.graph, samples, element, folded))

    def init_weights(self, seed: int = 0) -> dict[str, Any]:
        """Fresh weights by name, as float32 arrays: the same for the same seed on every machine.

        Raises NetError for a seed that is no whole number from 0 up (E0615), and where they are too large (E0907).
        """
        from netdsl import weights

        number = arguments.whole("seed", seed, 0, arguments.LARGEST_SEED)
        return weights.initialise(self.graph, number, self._limits)

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
        for name in named:
            if name in given:
                raise files.refuse(codes.BAD_OPTION, f"the input {name} is given twice, by place and by name")
        arrays = {name: _array(f"the input {name}", array) for name, array in {**given, **extra, **named}.items()}
        given_weights = arguments.mapping("weights", {} if weights is None else weights)
        tensors = {name: _array(f"the weight {name}", array) for name, array in given_weights.items()}
        dtype = np.float64 if any(a.dtype == np.float64 for a in (*arrays.values(), *tensors.values())) else np.float32
        check_weights(self.graph, tensors)
        check_inputs(self.graph, arrays, dtype)
        outputs = interpret(self.graph, arrays, tensors, dtype)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def compile(
        self, backend: str = "numpy", dtype: object = "float32", *, tuned: str | os.PathLike[str] | None = None
    ) -> Artifact:
        """A module that runs without netdsl: `.source` is its text, `.write(path)` writes it.

        A dtype is a name, or NumPy's or PyTorch's dtype of that name. `tuned` is a file that a module of this
        net wrote with `--tune`. Raises NetError where there is no such backend (E0701), where it lacks the dtype
        (E0703) or an operator (E0704), and where the file is none (E0705) or does not fit (E0706).
        """
        name, element = arguments.word("backend", backend), arguments.dtype_name(dtype)
        measured = None if tuned is None else arguments.path("a file of tuned tiles", tuned)
        return backends.generate(self.graph, name, element, tuned=measured)

    def export(
        self,
        path: str | os.PathLike[str],
        weights: Mapping[str, Any],
        *,
        dtype: object = "float32",
        force: bool = False,
    ) -> None:
        """Write an ONNX model with these weights, as `init_weights` or `netdsl.weights.read` gives them.

        Weights that one file cannot hold (2 GiB) go to `<path>.data`. `dtype` is float32 or float16; `force` replaces
        a file that netdsl did not write. Raises NetError: E0702 (onnx is not installed), E0703, E0704, E0501 to E0504
        (the weights), E0602, E0610.
        """
        write = extras.load("netdsl.onnx.write.model", "exporting")
        target = arguments.path("the path of a model", path)
        files.check_free(target, objection=write.foreign, force=force)
        given = arguments.mapping("weights", weights)
        tensors = {name: _array(f"the weight {name}", tensor) for name, tensor in given.items()}
        write.save(target, self.graph, tensors, backends.dtype_named(arguments.dtype_name(dtype)), force=force)


def _array(what: str, value: object) -> Any:
    """A NumPy array of what a caller passes: a tensor of PyTorch on the CPU, lists of numbers, an array."""
    import numpy as np

    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise files.refuse(codes.BAD_OPTION, f"{what} is no array: {str(error).splitlines()[0]:.200}") from None


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
