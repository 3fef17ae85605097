"""The forms that an item of a random net may take."""

from __future__ import annotations

from collections.abc import Callable

from blocks import block_call, conditional_block, input_block, over_blocks, shared_layer
from branching import branches, skip
from compounds import (
    attended,
    best_rows,
    boxes_that_stay,
    carried,
    cut_like,
    modulated,
    places,
    regions,
    several,
    tied,
)
from expansion import Trace
from families import family, table
from items import IT, Author, Item, Offer, Scope, named, sequence, tensors
from looping import choice, loop, over_rows, repeat
from operators import (
    chosen,
    divided,
    joined_end_to_end,
    layer,
    let,
    on_it,
    product,
    raised,
    with_named,
    with_param,
)
from spelling import Expression

from netdsl.ops import elementwise


def aside(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int) -> Item:
    """`let a = b -> F`."""
    dice, x = author.dice, trace.types[it]
    found = [(reference, type) for reference, type in tensors(trace, scope) if type.batch] if dice.chance(40) else []
    start, type = dice.choice(found) if found else (IT, x)
    first = on_it(author, type, False)
    return let(author, author.tensor_name(), first, start)


def from_a_name(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int) -> Item | None:
    """A chain that begins with a name; what `it` was has one too, for nothing may be dropped."""
    dice, x = author.dice, trace.types[it]
    found = [(reference, type) for reference, type in tensors(trace, scope) if not keep or type == x]
    if not found:
        return None
    start, type = dice.choice(found)
    kept = named(Item("it", lambda trace, scope, it: it, opens=True), author.tensor_name())
    begin = Item(start.text, lambda trace, scope, it: start.value(trace, scope), opens=True)
    return sequence(author, [kept, begin, on_it(author, type, keep)])


def arithmetic(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int) -> Item:
    """`let n = ...`, `assert ...`, and a layer that uses the number."""
    x, dice = trace.types[it], author.dice
    name = author.name("half", "amount")
    text, value = dice.choice(
        (
            ("it.size // 2 + 1", x.size // 2 + 1),
            ("2**it.rank - 1", 2**x.rank - 1),
            ("max(1, it.rank)", max(1, x.rank)),
            ("len([4, 8]) * 4", 8),
            ("min([7, 5])", 5),
            ("(2 + 3) * 2 % 7", 3),
        )
    )
    if not keep and x.rank:
        factor = Expression(f"1 / {name}", lambda scope, it: 1 / scope[name])
    else:
        factor = Expression(f"{name} / (1 + {name})", lambda scope, it: scope[name] / (1 + scope[name]))
    author.count("let of a number")

    def run(trace: Trace, scope: Scope, it: int) -> int:
        scope.values[name] = value
        return it

    lines = f"let {name} = {text}"
    if dice.chance(50):
        author.count("assert")
        message = f' : "{name} is {{{name}}}"' if dice.chance(50) else ""
        lines += f"\nassert {name} == {value}{message}"
    return sequence(author, [Item(lines, run, True, True), layer(author, elementwise.Scale, {"factor": factor})])


def _simple(draw: Callable[..., Item | None], takes: str) -> Callable[..., Item | None]:
    """The items of `operators` as forms: `takes` says which of author, trace, scope, x and keep they want."""

    def form(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int) -> Item | None:
        known = {"trace": trace, "scope": scope, "x": trace.types[it], "keep": keep}
        return draw(author, *(known[name] for name in takes.split()))

    form.__name__ = draw.__name__
    return form


SIMPLE = (
    _simple(with_named, "trace scope x keep"),
    _simple(with_param, "x keep"),
    _simple(divided, "x keep"),
    _simple(chosen, "x keep"),
    _simple(raised, "x keep"),
    _simple(places, "x keep"),
)
FREE_SIMPLE = (
    _simple(product, "x"),
    _simple(regions, "x"),
    _simple(best_rows, "x"),
    _simple(boxes_that_stay, "x"),
    _simple(boxes_that_stay, "x"),
    _simple(joined_end_to_end, "trace scope x"),
    _simple(several, "x"),
    _simple(cut_like, "trace scope x"),
    _simple(modulated, "x"),
    _simple(carried, "x"),
    _simple(attended, "trace scope x"),
    _simple(tied, "trace scope x"),
)
BLOCKS = tuple(
    _simple(draw, takes)
    for draw, takes in (
        (block_call, "trace x"),
        (conditional_block, "x"),
        (input_block, "trace scope x"),
        (over_blocks, "x"),
    )
)
SHARED = _simple(shared_layer, "trace scope x")
FORMS = Offer(
    anywhere=(
        *SIMPLE,
        branches,
        branches,
        skip,
        choice,
        repeat,
        loop,
        over_rows,
        family,
        table,
        aside,
        arithmetic,
        SHARED,
    ),
    free=(*FREE_SIMPLE, *FREE_SIMPLE, from_a_name, *BLOCKS, *BLOCKS),
    without_bodies=frozenset((*SIMPLE, *FREE_SIMPLE, SHARED)),
)
