"""The nearest known name to a misspelt one. Imports nothing of netdsl."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name most like `word`, or None where none is near."""
    # A long word is refused elsewhere; comparing it with everything would take its time first.
    if len(word) > 50:
        return None
    return _nearest(word, tuple(sorted(set(known))))


@lru_cache(256)  # a mistake is often made many times
def _nearest(word: str, candidates: tuple[str, ...]) -> str | None:
    by_lower_case = {name.lower(): name for name in candidates}
    if word.lower() in by_lower_case:
        return by_lower_case[word.lower()]
    found = get_close_matches(word, candidates, n=1, cutoff=0.65)
    return found[0] if found else None
