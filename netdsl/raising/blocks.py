"""Blocks: what stands in several places, alike but for its numbers, gets a name and parameters.

Every stretch of items is looked up by its keys. The one that saves the most words becomes a block, its places calls,
and the search begins anew. A block begins where one would begin a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netdsl.raising.alike import Alike, Closed, Key, expansions, merged
from netdsl.raising.cost import cost
from netdsl.raising.rolling import opens
from netdsl.raising.tree import As, Block, Call, From, Label, Layer, Loop, Seq, inner
from netdsl.raising.values import Numbers, attributes, choose

LONGEST = 16
"""Items of a block's body, at most."""
LEAST = 8
"""Words that a block has to save."""
SMALLEST = 6
"""Words of a block's body, at least."""
MOST = 6
"""Parameters of a block, at most."""
TRIED = 24
"""Stretches whose parameters are worked out, of those that may save the most."""


@dataclass(frozen=True, slots=True)
class _Place:
    seq: Seq
    start: int


@dataclass(frozen=True, slots=True)
class _Found:
    places: list[_Place]
    length: int
    gain: float
    body: Seq


def extract(bodies: list[Seq], alike: Alike, known: dict[Block, Numbers], kept: frozenset[Label]) -> Block | None:
    """Make one block of what stands in several places of these bodies, in place. None where nothing is worth it."""
    best: _Found | None = None
    for places, length, most in _candidates(bodies, alike, kept)[:TRIED]:
        if best is not None and most <= best.gain:
            break
        found = _judge(places, length, known)
        if found is not None and (best is None or found.gain > best.gain):
            best = found
    if best is None:
        return None
    block = Block(best.body, expansions(best.body))
    known[block] = choose(block.body, known)
    number = 0
    calls = []
    for place in best.places:
        count = expansions(place.seq[place.start : place.start + best.length])
        calls.append(Call(block, list(range(number, number + count))))
        number += count
    for place, call in sorted(zip(best.places, calls, strict=True), key=lambda pair: -pair[0].start):
        place.seq[place.start : place.start + best.length] = [call]
    return block


def _sequences(seq: Seq) -> Iterator[Seq]:
    yield seq
    for item in seq:
        for part in inner(item):
            yield from _sequences(part)


def _candidates(bodies: list[Seq], alike: Alike, kept: frozenset[Label]) -> list[tuple[list[_Place], int, float]]:
    """Stretches that stand in several places, with what they would save without parameters, the best first."""
    found: dict[tuple[Key, ...], list[_Place]] = {}
    for body in bodies:
        for seq in _sequences(body):
            keys, closed = alike.keys(seq, exact=False), Closed(seq, kept)
            for start in range(len(seq)):
                if isinstance(seq[start], As):
                    continue
                for end in range(start + 1, min(start + LONGEST, len(seq)) + 1):
                    if closed.outside[end - 1] or _is_shared(seq, end - 1):
                        break
                    if closed(start, end) and not (end == start + 1 and isinstance(seq[start], Loop)):
                        found.setdefault(tuple(keys[start:end]), []).append(_Place(seq, start))
    result = []
    for form, all_places in found.items():
        places = _apart(all_places, len(form))
        if len(places) < 2:
            continue
        words = cost(places[0].seq[places[0].start : places[0].start + len(form)])
        most = (len(places) - 1) * words - len(places) - 3
        if most >= LEAST:
            result.append((places, len(form), most * _grade(places, len(form))))
    result.sort(key=lambda one: -one[2])
    return result


def _is_shared(seq: Seq, at: int) -> bool:
    item = seq[at]
    return (isinstance(item, Layer) and (item.shared, item.tied) != (None, None)) or any(
        _is_shared(part, place) for part in inner(item) for place in range(len(part))
    )


def _apart(places: list[_Place], length: int) -> list[_Place]:
    kept: list[_Place] = []
    for place in places:
        if not kept or kept[-1].seq is not place.seq or kept[-1].start + length <= place.start:
            kept.append(place)
    return kept


def _grade(places: list[_Place], length: int) -> float:
    """Less than 1 where a block would begin or end between what belongs together."""
    first = places[0]
    grade = 1.0 if opens(first.seq, first.start) >= 2 or first.start == 0 else 0.5
    after = first.start + length
    if after < len(first.seq):
        item = first.seq[after]
        if isinstance(item, Layer) and "out" not in attributes(item.nodes[:1]) and opens(first.seq, after) < 3:
            grade *= 0.8
    if isinstance(first.seq[after - 1], From):
        grade = 0.0
    return grade


def _judge(places: list[_Place], length: int, known: dict[Block, Numbers]) -> _Found | None:
    parts = [place.seq[place.start : place.start + length] for place in places]
    body = merged(parts)
    parameters = len(choose(body, known).parameters)
    words = cost(body, known)
    gain = (len(places) - 1) * words - len(places) * (1 + parameters) - 3 - parameters
    if parameters > MOST or gain < LEAST or 2 * parameters > words or words < SMALLEST:
        return None
    return _Found(places, length, gain * _grade(places, length), body)
