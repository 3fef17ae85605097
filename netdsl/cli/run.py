"""`netdsl run`: a network on real inputs, by the reference interpreter."""

from __future__ import annotations

import argparse
import sys
from io import BytesIO
from typing import TYPE_CHECKING, Any

from netdsl import codes, driver, files
from netdsl.analysis.liveness import peak_activation_bytes
from netdsl.cli import common
from netdsl.cli.progress import progress
from netdsl.diagnostics import Report
from netdsl.files import refuse
from netdsl.ir.graph import Graph
from netdsl.tensor import DType, shape_text

if TYPE_CHECKING:
    import numpy as np

SHOWN = 5


def main(arguments: list[str]) -> int:
    """Compute the outputs; write them, or describe them where no file is named."""
    parser = common.Parser("run", "Compute the outputs of a network with the reference interpreter (NumPy, float32).")
    parser.add_file()
    parser.add_argument("--weights", required=True, metavar="W.safetensors")
    parser.add_argument(
        "--input", action="append", default=[], metavar="[NAME=]X.npy|X.png", help="one for each input of the net"
    )
    parser.add_argument("--output", metavar="Y.npy|Y.npz", help="where to; without it the outputs are described")
    parser.add_argument("--force", action="store_true", help="replace an existing output file")
    options = parser.parse(arguments)
    return common.run(options, lambda report: _run(options, report))


def _run(options: argparse.Namespace, report: Report) -> int:
    request = common.request_of(options)
    graph = driver.build(request, report)
    paths = _paths(graph, options.input)
    if options.output:
        _check_output(graph, options.output)
        files.check_apart(options.output, options.file, options.weights, *paths.values())
        files.check_free(options.output, objection=files.foreign, force=options.force)
    import numpy as np

    from netdsl import weights
    from netdsl.arrayfile import read_input
    from netdsl.reference.interpret import interpret

    types = {value.name: value.type for value in graph.inputs}
    inputs = {name: read_input(path, types[name]) for name, path in paths.items()}
    for name, path in paths.items():
        if path.lower().endswith(".png"):
            common.say(f"{path}: one sample {shape_text(types[name].shape)}, divided by 255, not resized")
    tensors = weights.read(options.weights, limits=request.limits)
    weights.check_weights(graph, tensors)
    samples = weights.check_inputs(graph, inputs)
    needed = peak_activation_bytes(graph, DType.FLOAT32, samples)
    if needed > request.limits.activation_bytes:
        message = (
            f"{samples} samples take {needed} bytes at the peak; at most {request.limits.activation_bytes} are used"
        )
        raise refuse(codes.TOO_MUCH_MEMORY, message, "run fewer samples at once, or raise `--limit activation_bytes=N`")
    with progress(f"{graph.name}, {len(graph.nodes)} layers"):
        outputs = interpret(graph, inputs, tensors, np.float32)
    named = {name: output for (name, _), output in zip(graph.results, outputs, strict=True)}
    if options.output:
        files.write(options.output, _encoded(options.output, named), objection=files.foreign, force=options.force)
        common.say(f"wrote {options.output}")
    else:
        sys.stdout.write("".join(_described(name, output) for name, output in named.items()))
    return common.DONE


def _paths(graph: Graph, texts: list[str]) -> dict[str, str]:
    """The file of each input. Raises NetError (E0615, E0614) where they do not match the net's inputs."""
    names = [value.name for value in graph.inputs]
    paths: dict[str, str] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or name not in names:
            if equals and name.isidentifier():
                raise refuse(codes.UNKNOWN_INPUT, f"net {graph.name} has no input {name}, only {', '.join(names)}")
            if len(names) > 1:
                raise refuse(
                    codes.BAD_OPTION, f"--input {text}: which of {', '.join(names)}?", "write `--input NAME=FILE`"
                )
            name, path = names[0], text
        if name in paths:
            raise refuse(codes.BAD_OPTION, f"--input gives {name} twice")
        paths[name] = path
    missing = [name for name in names if name not in paths]
    if missing:
        help = " ".join(f"--input {name}={name}.npy" for name in missing)
        raise refuse(codes.BAD_OPTION, f"no --input for {', '.join(missing)}", f"add `{help}`")
    return paths


def _check_output(graph: Graph, path: str) -> None:
    if not path.endswith((".npy", ".npz")):
        raise refuse(codes.BAD_OPTION, f"--output {path}: the name must end in .npy or .npz")
    if path.endswith(".npy") and len(graph.results) > 1:
        listed = ", ".join(name for name, _ in graph.results)
        raise refuse(
            codes.BAD_OPTION, f"--output {path}: a .npy file holds one array, the outputs are {listed}", "use .npz"
        )


def _encoded(path: str, outputs: dict[str, np.ndarray[Any, Any]]) -> bytes:
    import numpy as np

    buffer = BytesIO()
    if path.endswith(".npz"):
        np.savez(buffer, allow_pickle=False, **outputs)
    else:
        np.save(buffer, next(iter(outputs.values())), allow_pickle=False)
    return buffer.getvalue()


def _described(name: str, output: np.ndarray[Any, Any]) -> str:
    """Shape, range and, for vectors, the largest elements of every sample."""
    lines = [f"{name}: {'x'.join(map(str, output.shape))}, from {output.min():.6g} to {output.max():.6g}"]
    if output.ndim == 2:
        for number, row in enumerate(output):
            best = (-row).argsort(kind="stable")[:SHOWN]
            lines.append(f"  sample {number}: " + ", ".join(f"{i} ({row[i]:.6g})" for i in best))
    return "\n".join(lines) + "\n"
