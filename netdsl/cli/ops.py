"""`netdsl ops`: the operator reference, made from the operators themselves."""

from __future__ import annotations

import sys

from netdsl import codes
from netdsl.cli import common
from netdsl.files import refuse
from netdsl.ops import BY_WORD
from netdsl.ops.reference_page import index, page
from netdsl.suggest import nearest


def main(arguments: list[str]) -> int:
    """List all operators, or show the page of one."""
    parser = common.Parser("ops", "The operator reference.")
    parser.add_argument("name", nargs="?", metavar="NAME", help="such as conv; all are listed without it")
    options = parser.parse(arguments)
    return common.run(options, lambda _: _ops(options.name))


def _ops(name: str | None) -> int:
    written = {word: op for word, op in BY_WORD.items() if op.written}
    if name is None:
        sys.stdout.write(index(written.values()))
        return common.DONE
    if name not in written:
        near = nearest(name, written)
        help = f"did you mean `{near}`?" if near else None
        raise refuse(codes.BAD_OPTION, f"there is no operator {name[:50]}", help)
    sys.stdout.write(page(written[name]))
    return common.DONE
