"""`netdsl check`: errors and warnings, nothing else."""

from __future__ import annotations

import argparse

from netdsl import driver
from netdsl.cli import common
from netdsl.diagnostics import NetError, Report


def main(arguments: list[str]) -> int:
    """Check every file before saying anything; the exit status is the worst of theirs."""
    parser = common.Parser("check", "Show the errors and warnings of .net files.")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a .net file, or - for standard input")
    parser.add_training()
    options = parser.parse(arguments)
    return common.run(options, lambda report: _check(options, report), data=False)


def _check(options: argparse.Namespace, report: Report) -> int:
    limits = common.limits_of(options)
    for file in dict.fromkeys(options.files):
        own = Report()
        try:
            driver.check(file, own, limits, options.training)
        except NetError as error:
            common.take(report, error.diagnostics)
        else:
            common.take(report, own.diagnostics)
    report.raise_if_errors()
    return common.DONE
