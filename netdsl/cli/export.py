"""`netdsl export`: an ONNX model."""

from __future__ import annotations

import argparse

from netdsl import backends, codes, driver, extras, files
from netdsl.cli import common
from netdsl.cli.progress import progress
from netdsl.diagnostics import Report
from netdsl.files import refuse


def main(arguments: list[str]) -> int:
    """Write the model; say which operator set it uses."""
    parser = common.Parser("export", "Write an ONNX model: standard operators, any batch, the weights inside.")
    parser.add_file()
    parser.add_argument("--weights", metavar="W.safetensors", help="as `netdsl init` or training made them")
    parser.add_argument("--dtype", default="float32", help="element type to store and compute in (float32)")
    parser.add_argument("-o", dest="output", metavar="OUT.onnx", help="where to (./<net>.onnx)")
    parser.add_argument("--force", action="store_true", help="replace a file that netdsl did not write")
    options = parser.parse(arguments)
    return common.run(options, lambda report: _export(options, report))


def _export(options: argparse.Namespace, report: Report) -> int:
    request = common.request_of(options)
    dtype = backends.dtype_named(options.dtype)
    graph = driver.build(request, report)
    if not options.weights:
        name = f"{graph.name}.safetensors"
        command = common.program("netdsl") + common.init_command(options, name).removeprefix("netdsl")
        help = f"`{command}` makes fresh ones; then add `--weights {name}`"
        raise refuse(codes.BAD_OPTION, "an ONNX model holds weights, and no --weights are given", help)
    write = extras.load("netdsl.onnx.write.model", "exporting")
    output = options.output or f"{graph.name}.onnx"
    files.check_apart(output, options.file, options.weights)
    files.check_free(output, objection=write.foreign, force=options.force)
    from netdsl import weights

    with progress(f"{graph.name}, {len(graph.nodes)} layers"):
        tensors = weights.read(options.weights, limits=request.limits)
        made = write.save(output, graph, tensors, dtype, force=options.force)
    common.say(f"wrote {output} (net {graph.name}, {dtype.label}, ONNX operator set {write.OPSET})")
    for beside in made[1:]:
        common.say(f"wrote {beside} (its weights, which one file cannot hold)")
    return common.DONE
