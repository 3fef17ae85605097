"""Runs passes one after another, and checks each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple, Protocol

from netdsl.ir.graph import Graph, Node
from netdsl.ir.verify import Verified, verify


@dataclass(frozen=True, slots=True)
class Remark:
    """A rewrite that nearly applied, and why not: `conv c3 keeps its batch norm: c3 has two users`."""

    made_by: str
    node: Node
    text: str

    def __str__(self) -> str:
        place = f"{self.node.span}: " if self.node.span else ""
        return f"{place}{self.text} [{self.made_by}]"


def in_words(number: int) -> str:
    """A number as a sentence has it: in words up to six."""
    words = ("no", "one", "two", "three", "four", "five", "six")
    return words[number] if number < len(words) else str(number)


class Remarks:
    """Collects remarks while a pass runs."""

    def __init__(self) -> None:
        self.made_by = ""
        self.list: list[Remark] = []

    def add(self, node: Node, text: str) -> None:
        """Say why a rewrite at `node` did not happen. `text` is a sentence without a full stop."""
        self.list.append(Remark(self.made_by, node, text))


class Pass(Protocol):
    """A rewrite of a whole graph: valid in, valid out, the same answers, and a second run changes nothing.

    Passes are frozen dataclasses; their fields are their options.
    """

    @property
    def name(self) -> str:
        """What `--dump` and messages call it: `fold-batch-norm`."""

    def run(self, graph: Graph, remarks: Remarks) -> Graph:
        """The rewritten graph; the same object if there was nothing to do."""


class Stage(NamedTuple):
    """What a pass left behind, for dumps, timing and statistics: the first is `elaborate`, number 0, in no time."""

    number: int
    name: str
    graph: Graph
    seconds: float


Observer = Callable[[Stage], None]


def run_passes(
    graph: Graph, passes: Sequence[Pass], observe: Observer | None = None
) -> tuple[Graph, tuple[Remark, ...]]:
    """Run `passes` in order on a valid graph; `observe` sees the graph before the first and after each.

    Raises InvalidGraph, naming the pass, if one breaks the rules of the IR.
    """
    remarks = Remarks()
    known = Verified()
    verify(graph, "elaborate", known)
    if observe:
        observe(Stage(0, "elaborate", graph, 0.0))
    for number, step in enumerate(passes, 1):
        remarks.made_by = step.name
        start = perf_counter()
        before, graph = graph, step.run(graph, remarks)
        seconds = perf_counter() - start
        if graph is not before:
            verify(graph, step.name, known)
        if observe:
            observe(Stage(number, step.name, graph, seconds))
    return graph, tuple(dict.fromkeys(remarks.list))
