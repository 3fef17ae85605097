"""Names of a program: from the graph where they can be read, else from what they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from string import ascii_uppercase

from netdsl.elaborate.evaluate import BARE_SHAPES
from netdsl.elaborate.functions import FUNCTIONS
from netdsl.ops import BY_WORD
from netdsl.ops.conv import Conv
from netdsl.ops.elementwise import Add, Mul
from netdsl.ops.pieces import Concat
from netdsl.raising.tree import Block, Join, Layer, Seq, walk

_KEYWORDS = """
and as assert block each else false for if in input let net not or output param repeat share skip true use via
it int bool training x normal uniform
"""
LONGEST = 24
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_ATTRIBUTE = re.compile(r"[ksdpg][0-9]+(x[0-9]+)*\Z")
_WORDS = frozenset((*BY_WORD, *FUNCTIONS, *BARE_SHAPES, *_KEYWORDS.split()))
_COUNTED = frozenset(
    ("val", "var", "tmp", "temp", "node", "value", "tensor", "data", "out", "onnx", "getitem", "identity")
)
"""What exporters count their tensors with."""


_LETTERS = "abcefhijlmnoqrtuvwyz"


class Names:
    """Gives every name once. A layer's word with its ordinal is an address already, so names never look like one."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._words = _WORDS | set(words)
        self._taken: set[str] = set()
        self._letters = 0

    def readable(self, name: str) -> bool:
        """Whether a name from outside may stay as it is."""
        plain = name.rstrip("0123456789_")
        counted = plain != name and (len(plain) < 3 or plain.lower() in _COUNTED)
        return (
            bool(_NAME.match(name))
            and len(name) <= LONGEST
            and not counted
            and plain not in self._words
            and not _ATTRIBUTE.match(name)
        )

    def give(self, wanted: str, otherwise: str) -> str:
        """The name wanted, if it is readable; else another; with a number where it is taken."""
        base = wanted if self.readable(wanted) else otherwise or self._letter()
        unique, count = base, 1
        while unique in self._taken:
            count += 1
            unique = f"{base}_{count}" if base[-1].isdigit() or _ATTRIBUTE.match(f"{base}{count}") else f"{base}{count}"
        self._taken.add(unique)
        return unique

    def _letter(self) -> str:
        """The next of a, b, c, e, ..., a2, b2, ...: not what reads as an attribute."""
        number, place = divmod(self._letters, len(_LETTERS))
        self._letters += 1
        return _LETTERS[place] + (str(number + 1) if number else "")


def identifier(name: str, otherwise: str) -> str:
    """A name for a net, made of what can be read in one from outside: `resnet-50.v1` becomes `resnet_50_v1`."""
    made = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
    if not made or made.lower() in _WORDS:
        return otherwise
    return made[:60] if made[0].isalpha() else f"{otherwise}{made}"[:60]


def name_blocks(blocks: Iterable[Block]) -> dict[Block, str]:
    """A word for each block, by what it is made of; with a letter where several are of one kind."""
    words: dict[Block, str] = {}
    for block in blocks:
        word = _kind(block.body)
        count = sum(other.rstrip(ascii_uppercase) == word for other in words.values())
        words[block] = f"{word}{ascii_uppercase[count]}" if count else word
    return words


def _kind(body: Seq) -> str:
    items = list(walk(body))
    joins = [type(item.nodes[0].op) for item in items if isinstance(item, Join)]
    convolutions = [
        item.nodes[0].op for item in items if isinstance(item, Layer) and isinstance(item.nodes[0].op, Conv)
    ]
    depthwise = any(op.groups > 1 for op in convolutions)
    if Add in joins:
        return "inverted" if depthwise else "residual"
    if Concat in joins:
        return "dense" if any(isinstance(item, Join) and not all(item.branches) for item in items) else "mixed"
    if Mul in joins:
        return "gated"
    if len(convolutions) == 1:
        return "layer"
    return "separable" if depthwise else "unit"
