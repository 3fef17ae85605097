"""Which items are alike: the same text but for its numbers, or the same text. Alike items are merged into one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from netdsl.ir.graph import Node
from netdsl.ops.conv import Conv
from netdsl.ops.elementwise import Add
from netdsl.raising.spelling import spelling
from netdsl.raising.tree import OWN, As, Call, From, Item, Join, Label, Layer, Loop, Rows, Seq, inner

Key = int
OUTSIDE = 1 << 60


class Alike:
    """Numbers for what is alike. `parameters` tells a weight of the net from others, by how it starts."""

    def __init__(self, starts: dict[object, Hashable]) -> None:
        self._starts = starts
        self._numbers: dict[Hashable, Key] = {}

    def number(self, form: Hashable) -> Key:
        """A small number for a form: the same for equal forms."""
        return self._numbers.setdefault(form, len(self._numbers))

    def keys(self, seq: Seq, exact: bool) -> list[Key]:
        """A key for each item of a sequence. Names within it count by the distance to where they are given."""
        given: dict[Label, tuple[int, int]] = {}
        keys = []
        for index, item in enumerate(seq):
            keys.append(self.number(self._form(item, index, given, exact)))
            if isinstance(item, As):
                given.update((label, (index, place)) for place, label in enumerate(item.labels))
        return keys

    def _form(self, item: Item, index: int, given: dict[Label, tuple[int, int]], exact: bool) -> Hashable:
        match item:
            case As():
                return "as", len(item.labels)
            case From():
                return "from", _relative(item.label, index, given)
            case Layer():
                operands = tuple([_relative(label, index, given) for label in item.operands])
                own = tuple([self._own(item.nodes[0], at) for at, label in enumerate(item.operands) if label == OWN])
                return "layer", operands, own, item.shared, item.tied, _operator(item.nodes, exact)
            case Join():
                branches = tuple([tuple(self.keys(branch, exact)) for branch in item.branches])
                return "join", branches, _is_plain_sum(item.nodes[0]), _operator(item.nodes, exact)
            case Rows():
                return "rows", tuple(self.keys(item.body, exact))
            case Loop():
                return "loop", tuple(self.keys(item.body, exact)), tuple(item.counts) if exact else ()
            case Call():
                return "call", id(item.block), tuple(item.numbers) if exact else ()

    def _own(self, node: Node, at: int) -> Hashable:
        value = node.inputs[at]
        return value.type.rank, self._starts[value]


def _relative(label: Label, index: int, given: dict[Label, tuple[int, int]]) -> Hashable:
    if label not in given:
        return "outside", label
    defined, place = given[label]
    return index - defined, place


def _operator(nodes: Sequence[Node], exact: bool) -> Hashable:
    spelled = spelling(nodes[0])
    form = (spelled.op, spelled.settings, tuple(spelled.values), len(nodes[0].outputs), _grouping(nodes[0]))
    if not exact:
        return form
    return form, tuple(
        [tuple([(name, one.values[name]) for name in sorted(one.needed)]) for one in map(spelling, nodes)]
    )


def _grouping(node: Node) -> str:
    """Pointwise, depthwise and other convolutions are not alike, whatever their numbers."""
    if not isinstance(node.op, Conv):
        return ""
    if max(node.op.kernel) == 1:
        return "pointwise"
    kind = "plain" if node.op.groups == 1 else "grouped"
    if node.op.groups == node.inputs[0].type.shape[0] == node.op.out > 1:
        kind = "depthwise"
    return f"{kind} same" if spelling(node).same else kind


def _is_plain_sum(node: Node) -> bool:
    return type(node.op) is Add and len({value.type.shape for value in node.inputs}) == 1


def merged(parts: Sequence[Seq]) -> Seq:
    """Alike sequences as one, which stands for all that they stand for; its names are those of the first."""
    return [_merged(items) for items in zip(*parts, strict=True)]


def in_turns(parts: Sequence[Seq]) -> Loop:
    """A loop over alike parts that follow one another."""
    times = max(map(expansions, parts))
    if times < 2:
        return Loop([len(parts)], merged(parts))
    turns = [_stretch(part, place, place + 1) for place in range(times) for part in parts]
    return Loop([len(parts)] * times, merged(turns))


def _stretch(seq: Seq, start: int, end: int) -> Seq:
    """What a sequence stands for from its expansion `start` to before `end`."""
    result: Seq = []
    for item in seq:
        match item:
            case Layer():
                result.append(Layer(item.nodes[start:end], item.operands, item.shared, item.tied))
            case Join():
                branches = tuple([_stretch(branch, start, end) for branch in item.branches])
                result.append(Join(item.nodes[start:end], branches))
            case Rows():
                result.append(Rows(item.nodes[start:end], _stretch(item.body, start, end)))
            case Loop():
                first, last = sum(item.counts[:start]), sum(item.counts[:end])
                result.append(Loop(item.counts[start:end], _stretch(item.body, first, last)))
            case Call():
                result.append(Call(item.block, item.numbers[start:end]))
            case _:
                result.append(item)
    return result


def _merged(items: Sequence[Item]) -> Item:
    first = items[0]
    match first:
        case Layer():
            return Layer(_nodes(items), first.operands, first.shared, first.tied)
        case Join():
            count = len(first.branches)
            parts = [[item.branches[place] for item in items if isinstance(item, Join)] for place in range(count)]
            return Join(_nodes(items), tuple([merged(part) for part in parts]))
        case Rows():
            return Rows(_nodes(items), merged([item.body for item in items if isinstance(item, Rows)]))
        case Loop():
            loops = [item for item in items if isinstance(item, Loop)]
            turned = [loop.body for loop in loops if any(loop.counts)]
            return Loop([count for loop in loops for count in loop.counts], merged(turned))
        case Call():
            return Call(first.block, [number for item in items if isinstance(item, Call) for number in item.numbers])
        case _:
            return first


def _nodes(items: Sequence[Item]) -> list[Node]:
    return [node for item in items if isinstance(item, Layer | Join | Rows) for node in item.nodes]


def expansions(seq: Seq) -> int:
    """How often a sequence is expanded."""
    for item in seq:
        match item:
            case Layer() | Join() | Rows():
                return len(item.nodes)
            case Loop():
                return len(item.counts)
            case Call():
                return len(item.numbers)
    return 0


class Closed:
    """Which stretches of a sequence could stand in a body of their own: no name leads into one or out of one."""

    def __init__(self, seq: Seq, kept: frozenset[Label]) -> None:
        given: dict[Label, int] = {}
        self._first = [OUTSIDE] * len(seq)
        self._last = [-1] * len(seq)
        self.outside = [False] * len(seq)
        # Names for several results belong to the layer before.
        self._bound = [isinstance(item, As) and len(item.labels) > 1 for item in seq] + [False]
        for index, item in enumerate(seq):
            for label in mentioned(item):
                if label in given:
                    self._first[index] = min(self._first[index], given[label])
                    self._last[given[label]] = index
                else:
                    self.outside[index] = True
            if isinstance(item, As):
                given.update(dict.fromkeys(item.labels, index))
                if kept.intersection(item.labels):
                    self._last[index] = OUTSIDE

    def __call__(self, start: int, end: int) -> bool:
        """Whether all names from `start` to before `end` are given and used there, or are the net's own."""
        if self._bound[start] or self._bound[end]:
            return False
        return all(self._first[i] >= start and self._last[i] < end for i in range(start, end))


def mentioned(item: Item) -> list[Label]:
    """Labels that an item reads, and that are not given inside it."""
    match item:
        case Layer():
            return [label for label in item.operands if label >= 0]
        case From():
            return [item.label]
        case _:
            return [label for part in inner(item) for label in _open(part)]


def _open(seq: Seq) -> list[Label]:
    given: set[Label] = set()
    found = []
    for item in seq:
        found += [label for label in mentioned(item) if label not in given]
        if isinstance(item, As):
            given.update(item.labels)
    return found
