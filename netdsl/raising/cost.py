"""How long a text is, in words: what structure has to save."""

from __future__ import annotations

from collections.abc import Mapping

from netdsl.raising.spelling import spelling
from netdsl.raising.tree import As, Block, Call, From, Item, Join, Layer, Loop, Rows, Seq
from netdsl.raising.values import Numbers, attributes, choose


def cost(seq: Seq, known: Mapping[Block, Numbers] | None = None) -> int:
    """Words of a sequence."""
    return sum([_cost(item, known or {}) for item in seq])


def _cost(item: Item, known: Mapping[Block, Numbers]) -> int:
    match item:
        case Layer():
            first = item.nodes[:1]
            operands = len(item.operands) if len(item.operands) > 1 else 0
            return 1 + len(attributes(first)) + len(spelling(first[0]).settings) + operands
        case Join():
            return 2 + len(item.branches) + sum([cost(branch, known) for branch in item.branches])
        case Loop() | Rows():
            return 2 + cost(item.body, known)
        case Call():
            return 1 + (len(known[item.block].parameters) if item.block in known else 2)
        case As() | From():
            return 1


def variables(loop: Loop, known: Mapping[Block, Numbers]) -> tuple[int, int]:
    """How many numbers a loop would have to name, and the words of the lists that loops inside it run over."""
    numbers = choose([loop], dict(known))
    inside = 0
    for other, named in numbers.loops.items():
        if other is not loop:
            inside += sum([1 + len(variable.values) for variable in named])
    return len(numbers.loops.get(loop, ())), inside
