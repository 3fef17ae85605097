"""A sign of life for work over a second, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

WAIT = 1.0
"""Seconds before anything is shown."""


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Show `what` and the seconds so far on standard error, once the work takes over a second; wipe it at the end."""
    if not sys.stderr.isatty():
        yield
        return
    done = Event()
    thread = Thread(target=_tick, args=(what, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _tick(what: str, done: Event) -> None:
    start = monotonic()
    wait = WAIT
    while not done.wait(wait):
        wait = 0.2
        sys.stderr.write(f"\r{what} ... {monotonic() - start:.0f} s")
        sys.stderr.flush()
    if wait != WAIT:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
