"""Limits in seconds, kept in step with the machine: what its other work takes from a test is not the test's fault."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from time import process_time

USUAL = 0.032
"""Processor seconds of the work below on an idle virtual core of an AMD EPYC: there limits are what they say."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is done inside takes at most so many processor seconds, more on a slower machine.

    What other tests left in memory is frozen: the garbage collector would look through it at the expense of this one.
    """
    gc.freeze()
    start = process_time()
    try:
        yield
        taken = process_time() - start
    finally:
        gc.unfreeze()
    assert taken < seconds or taken < seconds * pace()


def pace() -> float:
    """How many times its usual time a fixed piece of work takes here and now; at least 1."""
    start, total = process_time(), 0
    for number in range(1_000_000):  # makes nothing that the garbage collector would have to look at
        total += number
    return max(1.0, (process_time() - start) / USUAL)
