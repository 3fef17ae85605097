"""Bodies of a random net: one item after the other, each drawn for what the ones before it make."""

from __future__ import annotations

from attribute_values import fits
from expansion import Trace
from items import Author, Item, Scope, named, sequence
from operators import (
    on_it,
)


def body(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int, most: int = 3) -> Item:
    """Some items, each drawn for what the ones before it make. `keep`: the result has the type of `it`."""
    trace, scope = trace.fork(), scope.inner()
    items = []
    for _ in range(author.dice.between(1, most)):
        items.append(item(author, trace, scope, it, keep, depth))
        it = items[-1].run(trace, scope, it)
    return sequence(author, items)


def item(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int) -> Item:
    """The next item: mostly one layer."""
    x, dice = trace.types[it], author.dice
    if dice.below(100) < (45 if depth else 75):
        return finished(author, on_it(author, x, keep), trace, scope, it)
    for _ in range(6):
        kind = dice.choice(author.offer.anywhere if keep else (*author.offer.anywhere, *author.offer.free))
        found = kind(author, trace, scope, it, keep, depth) if depth or kind in author.offer.without_bodies else None
        if found is not None and fits(_shape_after(found, trace, scope, it)):
            author.count(kind.__name__)
            return finished(author, found, trace, scope, it)
    return on_it(author, x, keep)


def _shape_after(found: Item, trace: Trace, scope: Scope, it: int) -> tuple[int, ...]:
    trace, scope = trace.fork(), scope.inner()
    return trace.types[found.run(trace, scope, it)].shape


def finished(author: Author, found: Item, trace: Trace, scope: Scope, it: int) -> Item:
    """At times a name for the result, at times a check of its shape."""
    dice = author.dice
    if found.closes:
        return found
    if not found.is_named and dice.chance(20):
        name = author.tensor_name()
        author.count("as")
        found = named(found, name)
    if dice.chance(10):
        extents = _shape_after(found, trace, scope, it)
        if extents:
            found = checked(author, found, extents)
    return found


def checked(author: Author, found: Item, extents: tuple[int, ...]) -> Item:
    """`: 4 x ? x 7`."""
    dice = author.dice
    shown = ["?" if dice.chance(30) else str(extent) for extent in extents]
    closed = len(shown) > 1 and shown[0] != "?" and dice.chance(50)
    if not closed and dice.chance(30):
        shown[0] = "channels"
    author.count("shape checked, closed up" if closed else "shape checked, spaced")
    return found._replace(text=f"{found.text} : {('x' if closed else ' x ').join(shown)}", closes=True)
