"""What a program is raised to before it is printed: sequences of items, each for one or more places of the graph.

An item *stands for* as many nodes (or calls, or loops) as its place is expanded to: once in the body of a net, once a
turn in a loop, once a call in a block. They are kept in that order in its list, so that merging two alike items is
joining their lists, and every number of the text can be chosen from all the numbers that it has to be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from netdsl.ir.graph import Node, Value

Label = int
"""A tensor that has a name; which name is chosen when it is printed."""

IT: Label = -1
OWN: Label = -2
"""Operands that no label names: the current tensor, and a weight that this layer alone reads."""


@dataclass(eq=False, slots=True)
class Layer:
    """One operator. `shared` numbers the layers with the same weights, None for a layer with its own.

    `tied` is the number of the layer whose table it multiplies by: `fc vocab tied=words`.
    """

    nodes: list[Node]
    operands: tuple[Label, ...]
    shared: int | None = None
    tied: int | None = None


@dataclass(eq=False, slots=True)
class Join:
    """Branches from one tensor, joined. A `skip` is a sum of two, printed as such."""

    nodes: list[Node]
    branches: tuple[Seq, ...]


@dataclass(eq=False, slots=True)
class Rows:
    """`each { ... }`; `nodes` put the rows together again."""

    nodes: list[Node]
    body: Seq


@dataclass(eq=False, slots=True)
class Loop:
    """`body` so many times, for each place of the loop."""

    counts: list[int]
    body: Seq


@dataclass(eq=False, slots=True)
class Block:
    """A part with a name; its items stand for all of its calls."""

    body: Seq
    calls: int = 0


@dataclass(eq=False, slots=True)
class Call:
    """A call of a block; `numbers` are the places of these calls among all calls of it."""

    block: Block
    numbers: list[int]


@dataclass(eq=False, slots=True)
class As:
    """Names for the results of the item before, or for the tensor that the sequence starts from."""

    labels: tuple[Label, ...]


@dataclass(eq=False, slots=True)
class From:
    """Go on from a tensor that has a name."""

    label: Label


Item = Layer | Join | Rows | Loop | Call | As | From
Seq = list[Item]


@dataclass(eq=False, slots=True)
class Net:
    """A whole network. `sources` names inputs and weights of the net; `shared` the layers with common weights."""

    body: Seq
    results: tuple[Label, ...]
    sources: dict[Label, Value] = field(default_factory=dict)
    shared: list[Node] = field(default_factory=list)


def inner(item: Item) -> tuple[Seq, ...]:
    """The sequences inside an item; a call's block is not inside it."""
    match item:
        case Join():
            return item.branches
        case Loop() | Rows():
            return (item.body,)
        case _:
            return ()


def walk(seq: Seq) -> Iterator[Item]:
    """All items of a sequence, and those inside them, in the order of the text."""
    for item in seq:
        yield item
        for part in inner(item):
            yield from walk(part)
