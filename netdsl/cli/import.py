"""`netdsl import`: a model of another library as a program and its weights; trained tensors as weights of a net."""

from __future__ import annotations

import argparse
from dataclasses import replace

from netdsl import codes, driver, files
from netdsl.cli import common
from netdsl.cli.progress import progress
from netdsl.diagnostics import Report
from netdsl.tensor import shape_text


def main(arguments: list[str]) -> int:
    """Write the program, its weights beside it; say what goes in and what comes out."""
    parser = common.Parser(
        "import",
        "Write a model as a program, OUT.net, and its weights, OUT.safetensors. "
        "With --into, write trained tensors as the weights of a net, W.safetensors.",
    )
    parser.add_argument(
        "file",
        metavar="MODEL",
        help="an ONNX model, or a program that torch.export saved (.pt2); with --into, a state dict that torch.save "
        "wrote, or a .safetensors file",
    )
    parser.add_argument("-o", dest="output", required=True, metavar="OUT.net|W.safetensors")
    parser.add_argument(
        "--shape", action="append", default=[], metavar="INPUT=CxHxW", help="the shape of an input, without the batch"
    )
    parser.add_argument("--into", metavar="FILE.net", help="the program whose weights the tensors become")
    parser.add_argument("--net", help="which net of it")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the net")
    parser.add_argument(
        "--place", action="append", default=[], metavar="LAYER=MODULE", help="a layer of the net, and what fills it"
    )
    parser.add_argument("--dtype", default="float32", help="of the weights: float32 or float16 (float32)")
    parser.add_training()
    parser.add_argument("--force", action="store_true", help="replace existing files, edited or trained ones too")
    options = parser.parse(arguments)
    work = _import if options.into is None else _fill
    return common.run(options, lambda report: work(options, report), data=False)


def _fill(options: argparse.Namespace, report: Report) -> int:
    """The tensors of a file as the weights of a net, with a table of what went where unless names agree."""
    request = replace(common.request_of(options), file=options.into)
    placed = common.pairs("--place", options.place)
    graph = driver.build(request, report)
    files.check_apart(options.output, options.file, options.into)
    files.check_free(options.output, objection=files.maybe_trained, force=options.force)
    from netdsl import checkpoint, statedict, weights

    tensors = checkpoint.read(options.file, request.limits)
    steps = {how for _, _, how in statedict.matched(graph, tensors, placed)}
    found = common.stored(statedict.from_state_dict(graph, tensors, placed), options.dtype)
    weights.write(options.output, found, force=options.force)
    common.say(statedict.table(graph, tensors, placed) if steps - {"by name"} else "every layer by its name\n", end="")
    common.say(f"wrote {options.output} (net {graph.name}, {len(found)} tensors, {options.dtype})")
    return common.DONE


def _import(options: argparse.Namespace, report: Report) -> int:
    limits = common.limits_of(options)
    if options.file.lower().endswith((".pth", ".pt", ".ckpt", ".safetensors")):
        message = f"{options.file} holds tensors, and no network"
        raise files.refuse(codes.BAD_OPTION, message, "say whose weights they are: `--into FILE.net`")
    if options.net or options.set or options.place or options.training:
        raise files.refuse(codes.BAD_OPTION, "--net, --set, --place and --training go with --into")
    shapes = common.shapes_of(options)
    from netdsl.onnx.read import program as read_program

    program: str = options.output
    weights = read_program.weights_path(program)
    if program in (files.STDIN, weights):
        raise files.refuse(codes.BAD_OPTION, f"-o {program}: the program is written to a file, its weights beside it")
    for path in (program, weights):
        files.check_apart(path, options.file)
    read_program.check_free(program, force=options.force)
    with progress(options.file):
        if options.file.lower().endswith(".pt2"):
            from netdsl.onnx.read import torch as read_torch

            imported = read_torch.import_exported(options.file, limits)
        else:
            imported = read_program.import_file(options.file, shapes, limits=limits)
    imported = replace(imported, weights=common.stored(imported.weights, options.dtype))
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
