"""Choices and loops of a random net."""

from __future__ import annotations

from collections.abc import Callable

from attribute_values import has_map
from bodies import body
from branching import condition
from expansion import Trace
from items import Author, Item, Scope, braces, sequence
from operators import (
    anywhere,
    layer,
    literal,
)
from spelling import Expression

from netdsl.ops import conv, each, elementwise


def choice(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int) -> Item:
    """`if c { F } else if d { G } else { H }`."""
    dice, x = author.dice, trace.types[it]
    text, taken = "", None
    for place in range(dice.between(1, 3)):
        asked, holds = condition(author, scope, x)
        inner = body(author, trace, scope, it, keep, depth - 1)
        text += f"{' else ' if place else ''}if {asked} {braces(author, inner)}"
        author.count("else if" if place else "if")
        if holds and taken is None:
            taken = inner
    if dice.chance(50):
        author.count("else")
        inner = body(author, trace, scope, it, keep, depth - 1)
        text += f" else {braces(author, inner)}"
        taken = taken or inner
    return Item(text, taken.run if taken else lambda trace, scope, it: it)


def repeat(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int) -> Item:
    """`repeat n { F }`."""
    dice = author.dice
    rounds = dice.between(0, 3)
    with author.looping():
        inner = body(author, trace, scope, it, True, depth - 1, 2)
    numbers = [name for name, value in scope.values.items() if type(value) is int]
    count: Callable[[Scope], int] = lambda scope: rounds  # noqa: E731
    text = dice.choice((str(rounds), f"{rounds + 1} - 1"))
    if numbers and dice.chance(40):
        name = dice.choice(numbers)
        text, count = f"{name} % 3", lambda scope: scope.values[name] % 3

    def run(trace: Trace, scope: Scope, it: int) -> int:
        for _ in range(count(scope)):
            it = inner.run(trace, scope.inner(), it)
        return it

    return Item(f"repeat {text} {braces(author, inner)}", run)


def over_rows(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int) -> Item | None:
    """`each { F }`: of the tensors outside, F can read what does not depend on the sample."""
    x = trace.types[it]
    if x.rank < 2 or not x.batch:
        return None
    trace = trace.fork()
    (row,) = trace.apply(each.Each(), it)
    inner = body(author, trace, _weights_only(trace, scope), row, keep, depth - 1)

    def run(trace: Trace, scope: Scope, it: int) -> int:
        (row,) = trace.apply(each.Each(), it)
        made = inner.run(trace, _weights_only(trace, scope), row)
        (result,) = trace.apply(each.Regroup(x.shape[0]), made)
        return result

    if trace.types[inner.run(trace, _weights_only(trace, scope), row)].batch != trace.types[row].batch:
        return None
    return Item(f"each {braces(author, inner)}", run)


def _weights_only(trace: Trace, scope: Scope) -> Scope:
    inner = scope.inner()
    inner.tensors = {
        name: value
        for name, value in inner.tensors.items()
        if not any(trace.types[tensor].batch for tensor in ([value] if isinstance(value, int) else value.values()))
    }
    return inner


LOOPS: tuple[Callable[[list[int], list[int]], tuple[str, str, list[tuple[int, ...]]]], ...] = (
    lambda a, b: ("list", literal(a), [(n,) for n in a]),
    lambda a, b: ("range", f"range({len(a)})", [(n,) for n in range(len(a))]),
    lambda a, b: ("range", f"range(2, {2 * len(a) + 1}, 2)", [(n,) for n in range(2, 2 * len(a) + 1, 2)]),
    lambda a, b: ("reversed", f"reversed({literal(a)})", [(n,) for n in reversed(a)]),
    lambda a, b: ("list arithmetic", f"{literal(a)} + [5] * 2", [(n,) for n in (*a, 5, 5)]),
    lambda a, b: ("zip", f"zip({literal(a)}, {literal(b)})", list(zip(a, b, strict=True))),
    lambda a, b: ("enumerate", f"enumerate({literal(a)})", list(enumerate(a))),
    lambda a, b: ("rows", literal([[m, n] for m, n in zip(a, b, strict=True)]), list(zip(a, b, strict=True))),
    lambda a, b: ("reversed", f"reversed(enumerate({literal(a)}))", list(enumerate(a))[::-1]),
)


def loop(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int) -> Item | None:
    """`for a, b in zip(...) { F }`, its variables the widths of convolutions."""
    dice, x = author.dice, trace.types[it]
    count = dice.between(1, 3)
    kind, values, rows = dice.choice(LOOPS)(*([dice.between(2, 6) for _ in range(count)] for _ in range(2)))
    names = tuple(author.name("width", "depth", "i") for _ in rows[0])
    scoped = dict.fromkeys(names, int)
    if keep or not has_map(x):
        # the variable scales what stays as it is
        name = dice.choice(names)
        factor = Expression(f"{name} / 4", lambda scope, it: scope[name] / 4)
        with author.looping():
            rest = body(author, trace, scope, it, True, depth - 1, 2)
        steps = [layer(author, elementwise.Shift, {"amount": factor}), rest]
    else:
        steps = [anywhere(author, scoped, False), *(anywhere(author, scoped, True) for _ in range(dice.below(3)))]
        if any(row[0] == 0 for row in rows) and kind in ("range", "enumerate", "reversed"):
            steps[0] = convolution_of(author, names[0])
    inner = sequence(author, steps)
    author.count(f"for: {kind}")

    def run(trace: Trace, scope: Scope, it: int) -> int:
        for row in rows:
            round_ = scope.inner()
            round_.values.update(zip(names, row, strict=True))
            it = inner.run(trace, round_, it)
        return it

    return Item(f"for {', '.join(names)} in {values} {braces(author, inner)}", run)


def convolution_of(author: Author, name: str) -> Item:
    """Channels from a number that may be 0."""
    out = Expression(f"{name} + 2", lambda scope, it: scope[name] + 2)
    return layer(author, conv.Conv, {"out": out, "kernel": (1,)})
