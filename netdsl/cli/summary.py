"""`netdsl summary`: the table of a network."""

from __future__ import annotations

import argparse
import os
import sys

from netdsl import backends, driver
from netdsl.analysis import table
from netdsl.analysis.summary import summarise
from netdsl.arguments import LARGEST_BATCH
from netdsl.cli import common
from netdsl.diagnostics import Report


def main(arguments: list[str]) -> int:
    """Print shapes, parameters, multiply-accumulates, memory and receptive fields."""
    parser = common.Parser("summary", "Shapes, parameters, MACs, memory and receptive fields, layer by layer.")
    parser.add_file()
    parser.add_argument("--batch", default="1", metavar="N", help="samples at once (1)")
    parser.add_argument("--depth", metavar="D", help="fold block calls nested deeper than D into one row")
    parser.add_argument("--dtype", default="float32", help="element type that bytes are counted in (float32)")
    parser.add_argument("--format", choices=("table", "json", *table.FORMATS), default="table")
    options = parser.parse(arguments)
    return common.run(options, lambda report: _summary(options, report))


def _summary(options: argparse.Namespace, report: Report) -> int:
    batch = common.whole("--batch", options.batch, 1, LARGEST_BATCH)
    depth = common.whole("--depth", options.depth, 0, LARGEST_BATCH) if options.depth is not None else None
    dtype = backends.dtype_named(options.dtype)
    graph = driver.build(common.request_of(options), report)
    summary = summarise(graph, batch, dtype, depth)
    if options.format == "json":
        import json

        text = json.dumps(summary.to_dict(), indent=1) + "\n"
    elif options.format == "table":
        text = table.text(summary, _width())
    else:
        text = table.FORMATS[options.format](summary)
    sys.stdout.write(text)
    return common.DONE


def _width() -> int | None:
    """Columns of the terminal; None, which leaves nothing out, where standard output is none."""
    return os.get_terminal_size(sys.stdout.fileno()).columns or None if sys.stdout.isatty() else None
