"""The order of the search for structure: loops, then blocks, then loops over their calls, until nothing is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from netdsl.ir.graph import Parameter
from netdsl.raising.alike import Alike
from netdsl.raising.blocks import extract
from netdsl.raising.prepare import Prepared
from netdsl.raising.rolling import roll
from netdsl.raising.tree import IT, Block, Call, Net, Seq, inner, walk
from netdsl.raising.values import Numbers, choose

ROUNDS = 3
MANY = 2000
"""Items of a net in which blocks are no longer looked for, as loops have found so little."""
BLOCKS = 24
"""Blocks of one program, at most."""


def find_structure(prepared: Prepared, net: Net) -> list[Block]:
    """Roll and cut a net in place; its blocks, callees before callers."""
    alike = Alike({value: _start(parameter) for value, parameter in prepared.parameters.items()})
    kept = frozenset(net.results) - {IT}
    blocks: list[Block] = []
    known: dict[Block, Numbers] = {}
    for _ in range(ROUNDS):
        before = len(blocks)
        for body in (net.body, *(block.body for block in blocks)):
            roll(body, alike, known, kept)
        _settle(blocks, known)
        if sum(1 for _ in walk(net.body)) > MANY:
            break
        while len(blocks) < BLOCKS:
            block = extract([net.body, *(block.body for block in blocks)], alike, known, kept)
            if block is None:
                break
            blocks.append(block)
            blocks[:] = _in_order(net.body, blocks)
            _settle(blocks, known)
        if len(blocks) == before:
            break
    for block in _called_once(net.body, blocks):
        for body in (net.body, *(other.body for other in blocks)):
            _put_back(body, block)
    return _in_order(net.body, blocks)


def _start(parameter: Parameter) -> Hashable:
    """How a weight starts; numbers in a list are written as lists of lists, which the shape nests."""
    return parameter.init, parameter.value.type.shape if parameter.init.numbers else None


def _settle(blocks: list[Block], known: dict[Block, Numbers]) -> None:
    """Work out the parameters of all blocks anew."""
    for block in blocks:
        known[block] = choose(block.body, known)


def _in_order(body: Seq, blocks: list[Block]) -> list[Block]:
    """The blocks that are called, callees first."""
    done: list[Block] = []

    def visit(seq: Seq) -> None:
        for item in seq:
            if isinstance(item, Call) and item.block not in done:
                visit(item.block.body)
                done.append(item.block)
            for part in inner(item):
                visit(part)

    visit(body)
    return done


def _calls(seq: Seq) -> list[Call]:
    return [
        call
        for item in seq
        for call in ([item] if isinstance(item, Call) else [call for part in inner(item) for call in _calls(part)])
    ]


def _called_once(body: Seq, blocks: list[Block]) -> list[Block]:
    calls = [call for seq in (body, *(block.body for block in blocks)) for call in _calls(seq)]
    often = Counter(call.block for call in calls)
    return [call.block for call in calls if often[call.block] == 1 and call.numbers == sorted(call.numbers)]


def _put_back(seq: Seq, block: Block) -> None:
    for at, item in enumerate(seq):
        if isinstance(item, Call) and item.block is block:
            seq[at : at + 1] = block.body
            return
        for part in inner(item):
            _put_back(part, block)
