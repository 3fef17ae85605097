"""Decisions of a random net, from a string of random bytes; 0 is always the simplest (the first of a list, no).

One string is one draw for hypothesis. Were every decision a draw of its own, five nets in six would be mutations of
another (that is how it explores), and a thousand of them no more than two hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Reads the bytes one after another; after the last come zeros, which lead to an end soon."""

    def __init__(self, entropy: bytes) -> None:
        self._rest = iter(entropy)

    def below(self, count: int) -> int:
        if count <= 1:
            return 0
        drawn = next(self._rest, 0) * 256 + (next(self._rest, 0) if count > 16 else 0)
        return drawn * count >> 16

    def between(self, least: int, most: int) -> int:
        return least + self.below(most - least + 1)

    def choice(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def chance(self, percent: int) -> bool:
        return self.below(100) >= 100 - percent

    def order(self, items: Sequence[T]) -> list[T]:
        rest = list(items)
        return [rest.pop(self.below(len(rest))) for _ in items]

    def some(self, items: Sequence[T]) -> list[T]:
        """Some of the items in their order, at least one."""
        kept = [item for item in items if self.chance(50)]
        return kept or [self.choice(items)]
