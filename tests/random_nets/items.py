"""Pieces of a random net: a text, and what it means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dice import Dice
from expansion import Trace

from netdsl.tensor import TensorType

Family = dict[tuple[Any, ...], int]


@dataclass
class Scope:
    """What names stand for: numbers, words and blocks in `values`, tensors and families in `tensors`."""

    values: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, int | Family] = field(default_factory=dict)

    def inner(self) -> Scope:
        return Scope(dict(self.values), {name: _copy(value) for name, value in self.tensors.items()})


def _copy(value: int | Family) -> int | Family:
    return dict(value) if isinstance(value, dict) else value


Run = Callable[[Trace, Scope, int], int]


class Item(NamedTuple):
    """`text` as it stands in a body; `run` adds its layers for a given `it`, and returns the new one.

    opens, closes  it begins or ends a line (`let`, a chain of its own; a checked shape).
    is_named       its result has a name already.
    """

    text: str
    run: Run
    opens: bool = False
    closes: bool = False
    is_named: bool = False


class Reference(NamedTuple):
    """A tensor, or a family, as an argument."""

    text: str
    value: Callable[[Trace, Scope], int]


class Offer(NamedTuple):
    """The forms that an item may be drawn from."""

    anywhere: tuple[Callable[..., Item | None], ...]
    """Those that can keep the type of `it`."""
    free: tuple[Callable[..., Item | None], ...]
    """Those that change it."""
    without_bodies: frozenset[Callable[..., Item | None]]
    """Those that may stand in the innermost bodies."""


@dataclass
class Author:
    """Who writes one net: the dice, how often each form was used, the names taken, the blocks written so far."""

    dice: Dice
    offer: Offer
    forms: Counter[str] = field(default_factory=Counter)
    blocks: list[str] = field(default_factory=list)
    loops: int = 0
    """Loops around what is being written: the members of a family would be set once more in every round."""
    _names: int = 0

    def count(self, form: str) -> None:
        self.forms[form] += 1

    def name(self, *kinds: str) -> str:
        self._names += 1
        return f"{self.dice.choice(kinds)}{self._names}"

    @contextmanager
    def looping(self) -> Iterator[None]:
        self.loops += 1
        yield
        self.loops -= 1

    def tensor_name(self) -> str:
        """Names that read as attributes may name tensors."""
        return self.name("feature", "p", "x", "k", "T_")


def sequence(author: Author, items: Sequence[Item], one_line: bool = False) -> Item:
    """Items one after the other, joined in any of the ways that there are."""
    text = ""
    for place, item in enumerate(items):
        if place:
            breaks = items[place - 1].closes or item.opens
            text += _separator(author, breaks, one_line)
        text += item.text

    def run(trace: Trace, scope: Scope, it: int) -> int:
        for item in items:
            it = item.run(trace, scope, it)
        return it

    return Item(text, run, items[0].opens, items[-1].closes, items[-1].is_named)


def _separator(author: Author, breaks: bool, one_line: bool) -> str:
    dice = author.dice
    if one_line:
        assert not breaks
        return " -> "
    if not breaks and dice.chance(50):
        author.count("arrow")
        return " -> "
    if not breaks and dice.chance(10):
        author.count("arrow at a line break")
        return dice.choice(("\n-> ", " ->\n"))
    if dice.chance(10):
        author.count("semicolon")
        return "; "
    if dice.chance(15):
        author.count("comment")
        return dice.choice(("  # a comment: -> { |\n", "\n# a line of its own\n", "\n\n", "\t\r\n"))
    return "\n"


def braces(author: Author, body: Item) -> str:
    """A body, on a line or on several."""
    return f"{{ {body.text} }}" if author.dice.chance(40) else f"{{\n{body.text}\n}}"


def named(item: Item, name: str) -> Item:
    """`item as name`."""

    def run(trace: Trace, scope: Scope, it: int) -> int:
        scope.tensors[name] = it = item.run(trace, scope, it)
        return it

    return item._replace(text=f"{item.text} as {name}", run=run, is_named=True)


def tensors(trace: Trace, scope: Scope) -> Iterator[tuple[Reference, TensorType]]:
    """All real tensors that have names."""
    for name, value in scope.tensors.items():
        if isinstance(value, int):
            if trace.types[value].dtype.is_float:
                yield Reference(name, _named(name)), trace.types[value]
        else:
            for keys, member in value.items():
                text = f"{name}[{', '.join(_key_text(key) for key in keys)}]"
                yield Reference(text, _member(name, keys)), trace.types[member]


def _named(name: str) -> Callable[[Trace, Scope], int]:
    return lambda trace, scope: scope.tensors[name]  # type: ignore[return-value]


def _member(name: str, keys: tuple[Any, ...]) -> Callable[[Trace, Scope], int]:
    return lambda trace, scope: scope.tensors[name][keys]  # type: ignore[index]


def _key_text(key: Any) -> str:
    return f'"{key}"' if isinstance(key, str) else str(key).lower()


IT = Reference("it", lambda trace, scope: -1)
"""`it`, which whoever runs it puts in."""
