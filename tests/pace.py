"""How fast the machine is at the moment: what must end soon may take longer where everything does."""

from __future__ import annotations

from time import process_time

USUAL = 0.06
"""Processor seconds of the piece of work below on a core of today, in round figures."""


def pace() -> float:
    """How many times its usual time a fixed piece of work takes here and now; at least 1."""
    start = process_time()
    made = [(number, [number]) for number in range(150_000)]
    sum(number for number, _ in made)
    return max(1.0, (process_time() - start) / USUAL)
