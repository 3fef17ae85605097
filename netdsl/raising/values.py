"""Numbers of a program: which stay as they are, which follow from others, and which become parameters.

A place in the text, such as the width of a layer in a block, has a value for every time that the place is expanded. If
all are equal, the text says the number. If they follow from the channels at that place, or are a multiple of another
place's, it says so. The rest become variables: of the loop in which they change, or parameters of the block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from netdsl.ir.graph import Node
from netdsl.ops.base import AttrKind
from netdsl.raising.spelling import spelling
from netdsl.raising.tree import IT, OWN, Block, Call, Item, Join, Layer, Loop, Rows, Seq

Values = list[Any]
"""One value for each time that a place is expanded; None where it never is (in a loop of no turns)."""

_NAMES = {
    "out": "width",
    "kernel": "k",
    "stride": "stride",
    "padding": "pad",
    "dilation": "dilation",
    "groups": "groups",
    "count": "depth",
    "p": "rate",
    "size": "size",
}
_SIZES = ("out", "groups", "size")
"""Roles whose numbers count channels, and so may follow from one another."""
_FACTORS = 64


@dataclass(eq=False, slots=True)
class Place:
    """A number in the text. `path` are the loops around it, from the outside; `channels` are those of `it` there."""

    item: Item
    role: str
    values: Values
    path: tuple[Loop, ...]
    channels: Values | None = None

    @property
    def key(self) -> tuple[int, str]:
        """What the text of the number is kept under."""
        return id(self.item), self.role


@dataclass(eq=False, slots=True)
class Variable:
    """A name for numbers that change from turn to turn, or from call to call."""

    name: str
    role: str
    values: Values


@dataclass(eq=False, slots=True)
class Numbers:
    """The numbers of one definition as texts: by item and role; loop variables; the parameters of a block."""

    texts: dict[tuple[int, str], str] = field(default_factory=dict)
    loops: dict[Loop, list[Variable]] = field(default_factory=dict)
    parameters: list[Variable] = field(default_factory=list)


def choose(body: Seq, known: dict[Block, Numbers], taken: Iterable[str] = ()) -> Numbers:
    """Texts for all numbers of a body; `known` are the blocks that it calls, `taken` names in use for other things."""
    return _Chooser(known, set(taken)).run(body)


def text(value: Any, in_list: bool = False) -> str:
    """A number as a text writes it: `64`, `1e-5`; `3x5` for numbers of axes, `[3, 5]` in a list."""
    if isinstance(value, tuple):
        shown = [text(item, True) for item in value]
        return (
            f"[{', '.join(shown)}]" if in_list or not all(isinstance(item, int) for item in value) else "x".join(shown)
        )
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e6:
            return str(int(value))
        mantissa, mark, exponent = repr(value).partition("e")
        return mantissa + mark + (str(int(exponent)) if exponent else "")
    return str(value)


def attributes(nodes: Sequence[Node]) -> list[str]:
    """The attributes with values that nodes of one kind need, in the order of the text."""
    spelled = [spelling(node) for node in nodes]
    needed = frozenset().union(*(one.needed for one in spelled))
    order = sorted(spelled[0].op.schema(), key=lambda item: not item.positional)
    names = [item.name for item in order if item.name in needed and item.kind is not AttrKind.WORD]
    if "padding" in names and all(one.same for one in spelled):
        sizes = {(one.values["kernel"], one.values["dilation"]) for one in spelled}
        if len(sizes) > 1:
            names[names.index("padding")] = "same"
    return names


def places(seq: Seq, known: dict[Block, Numbers], path: tuple[Loop, ...] = ()) -> Iterator[Place]:
    """Every number of a body, in the order of the text."""
    for item in seq:
        match item:
            case Layer() | Join():
                yield from _of_nodes(item, path)
                for branch in item.branches if isinstance(item, Join) else ():
                    yield from places(branch, known, path)
            case Rows():
                yield from places(item.body, known, path)
            case Loop():
                yield Place(item, "count", list(item.counts), path)
                yield from places(item.body, known, (*path, item))
            case Call():
                for variable in known[item.block].parameters:
                    values = [variable.values[number] for number in item.numbers]
                    yield Place(item, variable.name, values, path)


def _of_nodes(item: Layer | Join, path: tuple[Loop, ...]) -> Iterator[Place]:
    channels = None
    if isinstance(item, Layer) and IT in item.operands:
        at = item.operands.index(IT)
        channels = [_channels(node, at) for node in item.nodes]
        channels = None if None in channels else channels
    for name in attributes(item.nodes):
        if name != "same":
            yield Place(item, name, [spelling(node).values[name] for node in item.nodes], path, channels)
    if isinstance(item, Layer) and OWN in item.operands:
        for at, label in enumerate(item.operands):
            if label == OWN:
                shapes = [node.inputs[at].type.shape for node in item.nodes]
                for axis in range(len(shapes[0])):
                    yield Place(item, f"own{at}.{axis}", [shape[axis] for shape in shapes], path, channels)


def _channels(node: Node, at: int) -> int | None:
    operand = node.inputs[at].type
    return operand.shape[0] if operand.rank in (2, 3) else None


class _Chooser:
    def __init__(self, known: dict[Block, Numbers], taken: set[str]) -> None:
        self.known = known
        self.taken = taken
        self.numbers = Numbers()
        self.levels: dict[tuple[Loop, ...], list[Place]] = {}

    def run(self, body: Seq) -> Numbers:
        for place in places(body, self.known):
            self.sort(place)
        while self.levels:
            level = max(self.levels, key=len)
            self.settle(level, self.levels.pop(level))
        return self.numbers

    def sort(self, place: Place) -> None:
        """Say a number that is always the same; put another to the innermost loop in which it changes."""
        values, path = place.values, place.path
        while path:
            outer = _lifted(values, path[-1].counts)
            if outer is None:
                break
            values, path = outer, path[:-1]
        distinct = list(dict.fromkeys(value for value in values if value is not None))
        if len(distinct) == 1:
            self.numbers.texts[place.key] = text(distinct[0], place.role.startswith("list"))
            return
        self.levels.setdefault(path, []).append(
            Place(place.item, place.role, values, path, self._channels_of(place, len(values)))
        )

    def _channels_of(self, place: Place, size: int) -> Values | None:
        """Channels, for each value after lifting; None where they change while the number does not."""
        channels, path = place.channels, place.path
        if channels is None:
            return None
        values: Values | None = channels
        while values is not None and path and len(values) != size:
            values, path = _lifted(values, path[-1].counts), path[:-1]
        return values

    def settle(self, level: tuple[Loop, ...], found: list[Place]) -> None:
        """Name what changes at one level, and say the rest by those names."""
        variables: list[Variable] = []
        for place in found:
            if _from_channels(place) is None or place.role.startswith("list"):
                _add(variables, place, self._role(place))
        base = [one for one in variables if not any(_multiple(one, other) for other in variables if other is not one)]
        # Multiples of what is a multiple itself may be too large to be said.
        base += [one for one in variables if one not in base and not any(_multiple(one, other) for other in base)]
        for one in base:
            one.name = self._name(one.role)
        for place in found:
            self.numbers.texts[place.key] = self._say(place, base)
        if not level:
            self.numbers.parameters = sorted(base, key=lambda one: _class(one.role) != "size")
            return
        base.sort(key=lambda one: (one.role != "count", _class(one.role) != "size"))
        loop, outer = level[-1], level[:-1]
        self.numbers.loops[loop] = base
        for place_of, one in enumerate(base):
            lists = _grouped([_known(one.values, i) for i in range(len(one.values))], loop.counts)
            self.sort(Place(loop, f"list{place_of}", lists, outer))

    def _say(self, place: Place, base: list[Variable]) -> str:
        channels = _from_channels(place)
        if channels == "channels" and _is_depthwise(place):
            return channels
        role = self._role(place)
        for one in base:
            if _class(one.role) == _class(role) and _agree(one.values, place.values):
                return one.name
        for one in base:
            if _class(one.role) == _class(role) and (said := _said(place.values, one)):
                return said
        assert channels is not None
        return channels

    def _role(self, place: Place) -> str:
        if isinstance(place.item, Call):
            return next(one.role for one in self.known[place.item.block].parameters if one.name == place.role)
        return place.role

    def _name(self, role: str) -> str:
        name = "widths" if role.startswith("list") else "width" if role.startswith("own") else _NAMES.get(role, role)
        unique, count = name, 1
        while unique in self.taken:
            count += 1
            unique = f"{name}{count}" if len(name) > 1 else f"{name}_{count}"
        self.taken.add(unique)
        return unique


def _class(role: str) -> str:
    return "size" if role in _SIZES or role.startswith("own") else "list" if role.startswith("list") else role


def _lifted(values: Values, counts: list[int]) -> Values | None:
    """One value for all turns of each place of a loop, or None where one changes from turn to turn."""
    result: Values = []
    for group in _grouped(values, counts):
        distinct = list(dict.fromkeys(value for value in group if value is not None))
        if len(distinct) > 1:
            return None
        result.append(distinct[0] if distinct else None)
    return result


def _grouped(values: Values, counts: list[int]) -> Values:
    groups, at = [], 0
    for count in counts:
        groups.append(tuple(values[at : at + count]))
        at += count
    return groups


def _agree(values: Values, others: Values) -> bool:
    return all(None in (a, b) or a == b for a, b in zip(values, others, strict=True))


def _known(values: Values, index: int) -> Any:
    """A value, or its nearest neighbour's where the place is never expanded."""
    nearest = sorted(range(len(values)), key=lambda i: (abs(i - index), i))
    return next(values[i] for i in nearest if values[i] is not None)


def _add(variables: list[Variable], place: Place, role: str) -> None:
    for one in variables:
        if _class(one.role) == _class(role) and _agree(one.values, place.values):
            one.values = [b if a is None else a for a, b in zip(one.values, place.values, strict=True)]
            return
    variables.append(Variable("", role, list(place.values)))


def _multiple(one: Variable, other: Variable) -> bool:
    """Whether one variable is a multiple of another, of the same kind of numbers."""
    if _class(one.role) != "size" or _class(other.role) != "size":
        return one.role == "padding" and other.role == "kernel" and _said(one.values, other) is not None
    return _factor(one.values, other.values) is not None


def _factor(values: Values, others: Values) -> int | None:
    """m where values are m times the others."""
    pairs = [(a, b) for a, b in zip(values, others, strict=True) if a is not None]
    if not pairs or not all(type(a) is int and type(b) is int and b > 0 for a, b in pairs):
        return None
    factor = pairs[0][0] // pairs[0][1]
    return factor if 1 < factor <= _FACTORS and all(a == factor * b for a, b in pairs) else None


def _said(values: Values, one: Variable) -> str | None:
    factor = _factor(values, one.values)
    if factor is not None:
        return f"{factor}*{one.name}"
    return None


def _from_channels(place: Place) -> str | None:
    """`channels`, `4*channels` or `channels // 2`, where that is the number."""
    if place.channels is None or _class(place.role) != "size":
        return None
    if _agree(place.values, place.channels):
        return "channels"
    factor = _factor(place.values, place.channels)
    if factor is not None:
        return f"{factor}*channels"
    whole = [value if value is not None else 0 for value in place.values]
    factor = _factor(place.channels, whole)
    return f"channels // {factor}" if factor is not None else None


def _is_depthwise(place: Place) -> bool:
    item = place.item
    return isinstance(item, Layer) and "groups" in attributes(item.nodes)
