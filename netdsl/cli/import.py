"""`netdsl import`: a model of another library as a program and its weights."""

from __future__ import annotations

import argparse

from netdsl import codes, files
from netdsl.cli import common
from netdsl.cli.progress import progress
from netdsl.diagnostics import Report
from netdsl.tensor import shape_text


def main(arguments: list[str]) -> int:
    """Write the program, its weights beside it; say what goes in and what comes out."""
    parser = common.Parser("import", "Write a model as a program, OUT.net, and its weights, OUT.safetensors.")
    parser.add_argument("file", metavar="MODEL", help="an ONNX model, or a program that torch.export saved (.pt2)")
    parser.add_argument("-o", dest="output", required=True, metavar="OUT.net")
    parser.add_argument(
        "--shape", action="append", default=[], metavar="INPUT=CxHxW", help="the shape of an input, without the batch"
    )
    parser.add_argument("--force", action="store_true", help="replace existing files, edited or trained ones too")
    options = parser.parse(arguments)
    return common.run(options, lambda report: _import(options, report), data=False)


def _import(options: argparse.Namespace, report: Report) -> int:
    limits = common.limits_of(options)
    shapes = common.shapes_of(options)
    from netdsl.onnx import read_program

    program: str = options.output
    weights = read_program.weights_path(program)
    if program in (files.STDIN, weights):
        raise files.refuse(codes.BAD_OPTION, f"-o {program}: the program is written to a file, its weights beside it")
    for path in (program, weights):
        files.check_apart(path, options.file)
    read_program.check_free(program, force=options.force)
    with progress(options.file):
        if options.file.lower().endswith(".pt2"):
            from netdsl.onnx import read_torch

            imported = read_torch.import_exported(options.file, limits)
        else:
            imported = read_program.import_file(options.file, shapes, limits=limits)
    imported.write(program, force=options.force)
    graph = imported.graph
    count = sum(tensor.size for tensor in imported.weights.values())
    common.say(f"wrote {program} (net {graph.name}, {len(graph.nodes)} layers)")
    common.say(f"wrote {weights} ({len(imported.weights)} tensors, {count:,} elements)")
    types = {value.name: value.type for value in graph.inputs} | {name: value.type for name, value in graph.results}
    for what, ports in (("input", imported.inputs), ("output", imported.outputs)):
        for port in ports:
            shape = shape_text(types[port.name].shape)
            axis = "a single sample" if port.batch_axis is None else f"the batch is its axis {port.batch_axis}"
            common.say(f"{what} {port.name}: {shape} (`{port.onnx}` of the model; {axis})")
    return common.DONE
