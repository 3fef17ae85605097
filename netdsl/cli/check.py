"""`netdsl check`: errors and warnings, nothing else."""

from __future__ import annotations

from netdsl import driver
from netdsl.cli import common
from netdsl.diagnostics import NetError, Report
from netdsl.limits import Limits


def main(arguments: list[str]) -> int:
    """Check every file before saying anything; the exit status is the worst of theirs."""
    parser = common.Parser("check", "Show the errors and warnings of .net files.")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a .net file, or - for standard input")
    options = parser.parse(arguments)
    return common.run(options, lambda report: _check(options.files, common.limits_of(options), report), data=False)


def _check(files: list[str], limits: Limits, report: Report) -> int:
    for file in dict.fromkeys(files):
        own = Report()
        try:
            driver.check(file, own, limits)
        except NetError as error:
            common.take(report, error.diagnostics)
        else:
            common.take(report, own.diagnostics)
    report.raise_if_errors()
    return common.DONE
