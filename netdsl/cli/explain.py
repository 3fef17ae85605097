"""`netdsl explain`: the page of an error code."""

from __future__ import annotations

import sys

from netdsl import codes, explain
from netdsl.cli import common
from netdsl.files import refuse
from netdsl.suggest import nearest


def main(arguments: list[str]) -> int:
    """Print the page."""
    parser = common.Parser("explain", "What an error code means, with a bad and a good example.")
    parser.add_argument("code", metavar="CODE", help="such as E0302")
    options = parser.parse(arguments)
    return common.run(options, lambda _: _explain(options.code))


def _explain(code: str) -> int:
    text = explain.page(code.upper())
    if text is None:
        near = nearest(code.upper(), explain.pages())
        help = f"did you mean `{near}`?" if near else None
        raise refuse(codes.BAD_OPTION, f"there is no code {code[:50]}", help)
    sys.stdout.write(text)
    return common.DONE
