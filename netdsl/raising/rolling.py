"""Loops: what stands several times in a row becomes a `repeat`, or a `for` over the numbers that differ.

Both are found in the same way: the keys of a sequence's items are compared with those some items further on. A stretch
that agrees for at least that distance is a part said twice or more. Equal parts come first, the shortest first, so that
`conv -> relu -> conv -> relu -> pool` is a `repeat 2` and a pool wherever it stands; then parts that differ in numbers,
where a loop is shorter than saying them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netdsl.raising.alike import OUTSIDE, Alike, Closed, Key, expansions, in_turns
from netdsl.raising.cost import cost, variables
from netdsl.raising.tree import As, Block, Call, From, Join, Label, Layer, Loop, Rows, Seq, inner
from netdsl.raising.values import Numbers, attributes

LONGEST = 64
"""Items of a part that is said again."""
MANY = 2000
"""Items of a sequence in which loops over numbers are no longer looked for, as it has no structure to speak of."""
LEAST = 4
"""Words that a loop has to save, for itself and for each of its variables."""
MOST = 4
"""Variables of a loop, where it has few turns."""


@dataclass(frozen=True, slots=True)
class _Run:
    """`count` parts of `length` items, from `start`; `gain` is what a loop saves."""

    start: int
    length: int
    count: int
    gain: int = 0
    loop: Loop | None = None
    end: int = 0


def roll(seq: Seq, alike: Alike, known: dict[Block, Numbers], kept: frozenset[Label] = frozenset()) -> None:
    """Roll a sequence up in place, those inside its items first. `kept` are names that must stay at its level."""
    for item in seq:
        for part in inner(item):
            roll(part, alike, known)
    while _repeat(seq, alike, kept):
        pass
    if len(seq) > MANY:
        return
    _wrap(seq, alike, kept)
    while _loop(seq, alike, known, kept):
        pass
    _unwrap(seq)


def _repeat(seq: Seq, alike: Alike, kept: frozenset[Label]) -> bool:
    """Put equal parts into `repeat`, the shortest parts first."""
    changed = False
    length = 1
    keys, closed = alike.keys(seq, exact=True), Closed(seq, kept)
    while length <= min(LONGEST, len(seq) // 2):
        runs = list(_runs(seq, keys, closed, length))
        for run in reversed(runs):
            body = seq[run.start : run.start + length]
            if (run.count - 1) * cost(body) > 3:
                parts = [seq[run.start + i * length : run.start + (i + 1) * length] for i in range(run.count)]
                seq[run.start : run.start + run.count * length] = [in_turns(parts)]
                changed = True
        if changed and runs:
            keys, closed = alike.keys(seq, exact=True), Closed(seq, kept)
        length += 1
    return changed


def _runs(seq: Seq, keys: list[Key], closed: Closed, length: int) -> Iterator[_Run]:
    """Stretches in which each key agrees with the one `length` further on, as parts; where it may begin is chosen."""
    at, size = 0, len(keys)
    while at + length < size:
        if keys[at] != keys[at + length]:
            at += 1
            continue
        end = at
        while end + length < size and keys[end] == keys[end + length]:
            end += 1
        if end - at >= length:
            whole = end - at + length
            starts = [
                start
                for start in range(at, at + length)
                if all(
                    closed(start + i * length, start + (i + 1) * length) for i in range((at + whole - start) // length)
                )
                and (at + whole - start) // length >= 2
            ]
            if starts:
                best = max(starts, key=lambda start: ((at + whole - start) // length, opens(seq, start), -start))
                yield _Run(best, length, (at + whole - best) // length)
                at = best + (at + whole - best) // length * length
                continue
        at = end + 1


def opens(seq: Seq, start: int) -> int:
    """How well a part begins here: with a structure or a layer with weights, not with what belongs to one before."""
    item = seq[start]
    match item:
        case Join() | Rows() | Call() | From():
            return 4
        case Loop():
            return 3
        case As():
            return 2
        case Layer():
            if "out" in attributes(item.nodes[:1]) or len(item.nodes[0].outputs) > 1:
                return 3
            before = seq[start - 1] if start else None
            heads = isinstance(before, Layer) and "out" in attributes(before.nodes[:1])
            return 0 if heads else 1 + bool(item.nodes[0].weights)
    return 0


def _wrap(seq: Seq, alike: Alike, kept: frozenset[Label]) -> None:
    """Where a part is repeated in one place, it is repeated once in others, so that loops see them alike."""
    bodies = {tuple(alike.keys(item.body, exact=False)) for item in seq if isinstance(item, Loop)}
    for body in sorted(bodies, key=len, reverse=True):
        keys, closed = alike.keys(seq, exact=False), Closed(seq, kept)
        at = len(seq) - len(body)
        while at >= 0:
            end = at + len(body)
            if tuple(keys[at:end]) == body and closed(at, end):
                seq[at:end] = [in_turns([seq[at:end]])]
                at -= len(body)
            else:
                at -= 1


def _unwrap(seq: Seq) -> None:
    at = 0
    while at < len(seq):
        item = seq[at]
        if isinstance(item, Loop) and all(count == 1 for count in item.counts):
            seq[at : at + 1] = item.body
        else:
            for part in inner(item):
                _unwrap(part)
            at += 1


def _loop(seq: Seq, alike: Alike, known: dict[Block, Numbers], kept: frozenset[Label]) -> bool:
    """Put alike parts into loops, those first that save the most."""
    keys, closed = alike.keys(seq, exact=False), Closed(seq, kept)
    found = []
    for length in range(1, min(LONGEST, len(seq) // 2) + 1):
        for run in _runs(seq, keys, closed, length):
            better = _extended(seq, keys, run, closed, known)
            if better is not None:
                found.append(better)
    found.sort(key=lambda run: (-run.gain, run.start))
    taken: list[_Run] = []
    for run in found:
        if not any(run.start < other.end and other.start < run.end for other in taken):
            taken.append(run)
    for run in sorted(taken, key=lambda run: -run.start):
        assert run.loop is not None
        seq[run.start : run.end] = [run.loop]
    return bool(taken)


def _extended(seq: Seq, keys: list[Key], run: _Run, closed: Closed, known: dict[Block, Numbers]) -> _Run | None:
    """The run as a loop, with neighbours that lack only a loop at its end. None where it saves too little."""
    length = run.length
    cuts = [(run.start + i * length, run.start + (i + 1) * length) for i in range(run.count)]
    last = seq[run.start + length - 1]
    if isinstance(last, Loop) and length > 1:
        form = keys[run.start : run.start + length - 1]
        while True:
            at = cuts[-1][1]
            if keys[at : at + length - 1] == form and closed(at, at + length - 1):
                cuts.append((at, at + length - 1))
            else:
                break
        while True:
            at = cuts[0][0] - length + 1
            if at >= 0 and keys[at : at + length - 1] == form and closed(at, at + length - 1):
                cuts.insert(0, (at, at + length - 1))
            else:
                break
    times = max(expansions(seq[cuts[0][0] : cuts[0][1]]), 1)
    parts = [seq[start:end] + [Loop([0] * times, [])] * (length - end + start) for start, end in cuts]
    whole = cost(seq[cuts[0][0] : cuts[-1][1]], known)
    found = [(whole - _cost_of(loop, known), loop) for loop in _loops(in_turns(parts)) if loop is not None]
    gain, loop = max(found, key=lambda one: one[0])
    if gain < LEAST * (1 + _named(loop, known)):
        return None
    return _Run(cuts[0][0], length, len(parts), gain, loop, cuts[-1][1])


def _loops(loop: Loop) -> list[Loop]:
    """A loop, and where it is around nothing but another, the two as one."""
    if len(loop.body) == 1 and isinstance(only := loop.body[0], Loop) and len(loop.counts) == 1:
        return [loop, Loop([sum(only.counts)], only.body)]
    return [loop]


def _named(loop: Loop, known: dict[Block, Numbers]) -> int:
    return variables(loop, known)[0]


def _cost_of(loop: Loop, known: dict[Block, Numbers]) -> int:
    """Words of a loop, with the lists that it runs over; more than it could save where nobody could read them."""
    changing, inside = variables(loop, known)
    turns = loop.counts[0]
    if changing > MOST and turns < 2 * changing:
        return OUTSIDE
    return 3 + changing * (1 + turns) + inside + cost(loop.body, known)
