"""How many layers a body makes at least, told from its text: what a loop asks for is refused before it is done."""

from __future__ import annotations

from netdsl.elaborate.context import Context
from netdsl.ops import BY_WORD
from netdsl.syntax import ast


def least_layers(body: ast.Body, context: Context) -> int:
    """Layers that one expansion of a body surely makes; what depends on values counts as none."""
    return sum(_links(statement, context) for statement in body.statements if isinstance(statement, ast.Chain))


def _links(chain: ast.Chain, context: Context) -> int:
    return sum(_link(link, context) for link in chain.links)


def _link(link: ast.Link, context: Context) -> int:
    match link:
        case ast.Step():
            own = link.word in context.blocks or context.scope.find(link.word) is not None
            return 0 if own or link.word not in BY_WORD else 1
        case ast.Branches():
            return 1 + sum(least_layers(branch, context) for branch in link.branches)
        case ast.Skip():
            return least_layers(link.body, context)
        case ast.Each():
            return 2 + least_layers(link.body, context)
        case ast.Repeat(count=ast.Number(value=int(count))):
            return count * least_layers(link.body, context)
        case _:
            return 0
