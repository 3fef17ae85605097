"""`netdsl init`: freshly initialised weights."""

from __future__ import annotations

import argparse

from netdsl import driver, files
from netdsl.arguments import LARGEST_SEED
from netdsl.cli import common
from netdsl.diagnostics import Report


def main(arguments: list[str]) -> int:
    """Write weights that are the same for the same seed, on every machine."""
    parser = common.Parser("init", "Write freshly initialised weights: the same for the same seed, on every machine.")
    parser.add_file()
    parser.add_argument("-o", dest="output", required=True, metavar="W.safetensors")
    parser.add_argument("--dtype", default="float32", help="float32 or float16 (float32)")
    parser.add_argument("--seed", default="0", metavar="N", help="a whole number (0)")
    parser.add_argument("--force", action="store_true", help="replace an existing file, trained weights too")
    options = parser.parse(arguments)
    return common.run(options, lambda report: _init(options, report))


def _init(options: argparse.Namespace, report: Report) -> int:
    seed = common.whole("--seed", options.seed, 0, LARGEST_SEED)
    request = common.request_of(options)
    graph = driver.build(request, report)
    files.check_apart(options.output, options.file)
    files.check_free(options.output, objection=files.maybe_trained, force=options.force)
    from netdsl import weights

    tensors = common.stored(weights.initialise(graph, seed, request.limits), options.dtype)
    weights.write(options.output, tensors, force=options.force)
    count = sum(tensor.size for tensor in tensors.values())
    common.say(f"wrote {options.output} (net {graph.name}, {len(tensors)} tensors, {count:,} elements)")
    return common.DONE
