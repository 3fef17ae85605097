"""Static memory planning: offsets for buffers in one arena, so that those that live together do not overlap.

Finding the smallest arena is NP-complete (dynamic storage allocation, Garey & Johnson 1979, SR2). The most bytes that
live at one step bound it from below, and placing large buffers first mostly meets that bound; a short search follows
where it does not (greedy by size: Pisarchyk & Lee 2020, arXiv:2001.03288; search over orders: TVM's `hill_climb`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from typing import NamedTuple

from netdsl.analysis.liveness import live_bytes

CLOSE_ENOUGH = 1.02
"""An arena is good if it is at most this many times the lower bound: the search then stops."""
SEARCH_STEPS = 100_000
"""Placements of one buffer that the search may try in all: some tenths of a second."""

MOST_PAIRS = 2_000_000
"""Pairs of buffers that live together, above which they are placed in order of time and not by size."""


class Buffer(NamedTuple):
    """Memory that is needed from step `first` to step `last`, both included."""

    name: str
    bytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Where each buffer lies. `bytes` is the arena's size; no plan can be smaller than `lower_bound`."""

    offsets: dict[str, int]
    bytes: int
    lower_bound: int


def plan_memory(buffers: Iterable[Buffer | tuple[str, int, int, int]], alignment: int = 1) -> MemoryPlan:
    """Offsets, multiples of `alignment` bytes, for (name, bytes, first, last). Equal input gives an equal plan.

    Names are unique; a buffer of no bytes lies at offset 0. Raises ValueError for a range that ends before it starts, a
    negative size, or a name used twice.
    """
    given = [Buffer(*buffer) for buffer in buffers]
    _check(given)
    real = [b._replace(bytes=-(-b.bytes // alignment) * alignment) for b in given if b.bytes]
    bound = max(live_bytes((b.bytes, b.first, b.last) for b in real), default=0)
    placed = _search(real, bound)
    offsets = dict.fromkeys((buffer.name for buffer in given), 0)
    offsets.update((buffer.name, offset) for buffer, offset in zip(real, placed, strict=True))
    return MemoryPlan(offsets, _arena(real, placed), bound)


def _check(buffers: Sequence[Buffer]) -> None:
    for buffer in buffers:
        if buffer.bytes < 0 or buffer.first > buffer.last:
            raise ValueError(f"not a buffer: {buffer}")
    if len({buffer.name for buffer in buffers}) < len(buffers):
        raise ValueError("two buffers have the same name")


def _arena(buffers: Sequence[Buffer], offsets: Sequence[int]) -> int:
    return max((offset + buffer.bytes for buffer, offset in zip(buffers, offsets, strict=True)), default=0)


def _search(buffers: list[Buffer], bound: int) -> list[int]:
    """The best offsets found: some orders that are good by experience, then exchanges in the best of them.

    The walk is threshold accepting (Dueck & Scheuer 1990): a plan that is a little worse may stand for a while.
    """
    numbers = range(len(buffers))
    living = live_bytes((1, b.first, b.last) for b in buffers)
    if sum(living[b.first] for b in buffers) > MOST_PAIRS:
        return _sweep(buffers)
    goal = bound * CLOSE_ENOUGH
    rivals = _rivals(buffers)
    largest = sorted(numbers, key=lambda i: (-buffers[i].bytes, buffers[i].first, i))
    longest = sorted(numbers, key=lambda i: (buffers[i].first - buffers[i].last, -buffers[i].bytes, i))
    earliest = sorted(numbers, key=lambda i: (buffers[i].first, -buffers[i].bytes, i))
    size, order, offsets = 0, largest, list[int]()
    for start in (largest, longest, earliest):
        found = _place(buffers, start, rivals)
        if not offsets or _arena(buffers, found) < size:
            size, order, offsets = _arena(buffers, found), start, found
        if size <= goal:
            return offsets

    best_size, best = size, offsets
    random = Random(0)
    for _ in range(SEARCH_STEPS // len(buffers)):
        # What reaches the top, or a rival that may have driven it there, trades places with something before it.
        moved = random.choice([i for i in numbers if offsets[i] + buffers[i].bytes == size])
        if rivals[moved] and random.random() < 0.3:
            moved = random.choice(rivals[moved])
        late = order.index(moved)
        early = random.randrange(late + 1)
        trial = list(order)
        trial[early], trial[late] = trial[late], trial[early]
        found = _place(buffers, trial, rivals)
        found_size = _arena(buffers, found)
        if found_size - size <= 0.005 * bound * random.random():
            size, order, offsets = found_size, trial, found
        if size < best_size:
            best_size, best = size, offsets
        if best_size <= goal:
            break
    return best


def _rivals(buffers: Sequence[Buffer]) -> list[list[int]]:
    """For each buffer, the others that live with it at some step."""
    rivals: list[list[int]] = [[] for _ in buffers]
    living: list[int] = []
    for i in sorted(range(len(buffers)), key=lambda i: (buffers[i].first, i)):
        living = [j for j in living if buffers[j].last >= buffers[i].first]
        for j in living:
            rivals[i].append(j)
            rivals[j].append(i)
        living.append(i)
    return rivals


def _place(buffers: Sequence[Buffer], order: Sequence[int], rivals: Sequence[list[int]]) -> list[int]:
    """Give each buffer, in this order, the lowest gap that the rivals placed before it leave."""
    offsets = [-1] * len(buffers)
    for i in order:
        size = buffers[i].bytes
        taken = sorted((offsets[j], offsets[j] + buffers[j].bytes) for j in rivals[i] if offsets[j] >= 0)
        free = 0
        for start, end in taken:
            if start - free >= size:
                break
            if end > free:
                free = end
        offsets[i] = free
    return offsets


def _sweep(buffers: Sequence[Buffer]) -> list[int]:
    """First fit in order of time, in a list of gaps: quick however many buffers live together."""
    offsets = [0] * len(buffers)
    gaps: list[tuple[int, int]] = []  # (start, end), in order, below the top, never touching
    ending: list[tuple[int, int]] = []
    top = 0
    for i in sorted(range(len(buffers)), key=lambda i: (buffers[i].first, -buffers[i].bytes, i)):
        while ending and ending[0][0] < buffers[i].first:
            done = heappop(ending)[1]
            start, end = offsets[done], offsets[done] + buffers[done].bytes
            place = bisect_left(gaps, (start, end))
            if place < len(gaps) and gaps[place][0] == end:
                end = gaps.pop(place)[1]
            if place and gaps[place - 1][1] == start:
                place -= 1
                start = gaps.pop(place)[0]
            gaps.insert(place, (start, end))
        size = buffers[i].bytes
        fitting = next((k for k, (start, end) in enumerate(gaps) if end - start >= size), None)
        if fitting is not None:
            start, end = gaps.pop(fitting)
            if end - start > size:
                gaps.insert(fitting, (start + size, end))
        else:
            start = gaps.pop()[0] if gaps and gaps[-1][1] == top else top
            top = start + size
        offsets[i] = start
        heappush(ending, (buffers[i].last, i))
    return offsets
