"""Structure of a random net: branches, skips, loops, choices, families, shared layers, names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attribute_values import fits, has_map
from blocks import block_call, conditional_block, family_block, input_block, over_blocks, shared_layer
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
from items import IT, Author, Item, Reference, Scope, braces, named, sequence, tensors
from operators import (
    anywhere,
    chosen,
    divided,
    guarded,
    joined_end_to_end,
    layer,
    let,
    literal,
    on_it,
    own,
    product,
    raised,
    shifted,
    with_named,
    with_param,
)
from spelling import Expression, spelled

from netdsl.ops import activation, conv, each, elementwise, function, linear, norm, pool, shape
from netdsl.ops.base import Op
from netdsl.tensor import TensorType


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
        kind = dice.choice(ANYWHERE if keep else (*ANYWHERE, *FREE))
        found = kind(author, trace, scope, it, keep, depth) if depth or kind in WITHOUT_BODIES else None
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


# Branches.


def branches(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int) -> Item | None:
    """`add { | F | G | it }`, by every operator that joins."""
    dice, x = author.dice, trace.types[it]
    op = dice.choice(KEEPING_BRANCHES if keep else (*KEEPING_BRANCHES, shape.Concat, linear.MatMul))
    values: dict[str, Any] = {}
    if op is function.Compare:
        values["relation"] = dice.choice(function.RELATIONS)
    if op is elementwise.Div and dice.chance(50):
        values["eps"] = 0.25
    if op is shape.Concat:
        if not x.rank:
            return None
        axis = dice.between(-x.rank, x.rank - 1)
        values |= {"axis": axis} if dice.chance(50) and axis else {}
    if op is linear.MatMul:
        if x.rank < 2:
            return None
        values[dice.choice(("transpose_a", "transpose_b"))] = True
    count = op.operands[1] or dice.between(2, 3)
    parts = [branch(author, trace, scope, it, op, place, depth) for place in range(count)]
    author.count(f"branches: {op.word}")
    settings = spelled(dice, op, values, author.count)
    bars = " ".join(f"| {part.text}" for part in parts)
    if dice.chance(60) or any("\n" in part.text or part.closes for part in parts):
        bars = "\n" + "\n".join(f"| {part.text}" for part in parts) + "\n"

    def run(trace: Trace, scope: Scope, it: int) -> int:
        operands = [part.run(trace, scope, it) for part in parts]
        (result,) = trace.apply(op(**values), *operands)
        return result

    return Item(f"{op.word}{settings} {{ {bars} }}", run)


KEEPING_BRANCHES = (
    elementwise.Add,
    elementwise.Mul,
    elementwise.Maximum,
    elementwise.Minimum,
    elementwise.Sub,
    elementwise.Div,
    function.Power,
    function.Compare,
    function.Select,
)


def branch(author: Author, trace: Trace, scope: Scope, it: int, op: type[Op], place: int, depth: int) -> Item:
    dice, x = author.dice, trace.types[it]
    if op is function.Power and place:
        return sequence(author, [layer(author, activation.Tanh, {}), shifted(author)])
    if op is function.Power or (op is elementwise.Div and place):
        return sequence(author, [layer(author, activation.Softplus, {}), shifted(author)])
    if dice.chance(25):
        author.count("branch: it")
        return Item("it", lambda trace, scope, it: it)
    if op is elementwise.Mul and has_map(x) and dice.chance(40):
        author.count("branch: a gate")
        steps = [
            layer(author, pool.Pool, {"function": "avg", "whole": True}),
            layer(author, conv.Conv, {"out": x.shape[0], "kernel": (1,)}),
            layer(author, activation.Sigmoid, {}),
        ]
        return sequence(author, steps)
    found = [reference for reference, other in tensors(trace, scope) if other == x]
    if place and found and dice.chance(20):  # the first branch reads `it`, which nothing else may
        author.count("branch: a named tensor")
        other = dice.choice(found)
        start = Item(other.text, lambda trace, scope, it: other.value(trace, scope))
        return sequence(author, [start, on_it(author, x, True)])
    author.count("branch: layers")
    return body(author, trace, scope, it, True, depth - 1)


def skip(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int) -> Item | None:
    """`skip when=c { F } via { G }` in all of its forms."""
    dice, x = author.dice, trace.types[it]
    said, joined = ("", True) if dice.chance(60) else when(author, scope)
    free = not keep and not joined
    left = body(author, trace, scope, it, not free, depth - 1)
    right = body(author, trace, scope, it, True, depth - 1, 2) if dice.chance(40) else None
    if not keep and has_map(x) and min(x.shape[1:]) > 1 and dice.chance(40):
        # both sides change the shape alike: a projection
        out, stride = dice.between(1, 6), dice.between(1, 2)
        first = layer(author, conv.Conv, {"out": out, "kernel": (3,), "padding": (1,), "stride": (stride,)})
        left = sequence(author, [first, layer(author, norm.BatchNorm, {})])
        right = layer(author, conv.Conv, {"out": out, "kernel": (1,), "stride": (stride,), "bias": False})
        author.count("skip with a projection")
    author.count(f"skip{' via' if right else ''}{f' when={str(joined).lower()}' if said else ''}")
    text = f"skip{said} {braces(author, left)}" + (f" via {braces(author, right)}" if right else "")

    def run(trace: Trace, scope: Scope, it: int) -> int:
        result = left.run(trace, scope, it)
        if not joined:
            return result
        shortcut = right.run(trace, scope, it) if right else it
        (result,) = trace.apply(elementwise.Add(), result, shortcut)
        return result

    return Item(text, run)


def when(author: Author, scope: Scope) -> tuple[str, bool]:
    dice = author.dice
    known = [(name, value) for name, value in scope.values.items() if isinstance(value, bool)]
    choices = [("true", True), ("false", False), ("(1 < 2)", True), ("(not training)", True), *known]
    text, value = dice.choice([*choices, ("(2 >= 3 or training)", False)])
    return f" when={text}", value


def condition(author: Author, scope: Scope, x: TensorType) -> tuple[str, bool]:
    """Something settled when compiled, and whether it holds."""
    dice = author.dice
    choices: list[tuple[str, bool]] = [
        ("true", True),
        ("training", False),
        ("not training", True),
        ("it.size > 4 and it.rank == 3", x.size > 4 and x.rank == 3),
        ("it.rank == 1 or it.rank == 2", x.rank in (1, 2)),
        ("2**3 % 3 == 5 // 2", True),
        ("1 / 4 < 0.3", True),
        ("-1 >= 0", False),
        ('"a" == "b"', False),
        ("len([1, 2]) != 2", False),
        ("sum(range(4)) <= ceil(5.5) - floor(0.5)", True),
    ]
    if x.rank:
        choices += [("channels == features", x.shape[0] == x.shape[-1]), ("channels > 3", x.shape[0] > 3)]
    if x.rank == 3:
        choices += [("it.height == it.width", x.shape[1] == x.shape[2])]
    choices += [(name, value) for name, value in scope.values.items() if isinstance(value, bool)]
    return dice.choice(choices)


# Choices and loops.


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


# Families.


def family(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int) -> Item | None:
    """`for i in ... { a -> F as e[i] }`, then joined, looped over, or left to be named."""
    if author.loops:
        return None
    dice = author.dice
    start, made, key = author.tensor_name(), author.tensor_name(), author.name("i", "key")
    keys: list[Any] = dice.choice(([0, 1, 2], [3, 1], ["low", "high"], [True, False], [0.5, 2]))
    with author.looping():
        inner = body(author, trace, scope, it, True, 0, 2)
    aside = dice.chance(50)
    source = own(start)
    if aside:
        one_line = guarded(author, activation.Tanh, {})
        inner = sequence(author, [one_line, on_it(author, trace.types[it], True)], one_line=True)
        author.count("let of a family")
        text = f"let {made}[{key}] = {start} -> {inner.text}"
    else:
        author.count("as of a family")
        text = (
            f"{start} -> {inner.text} as {made}[{key}]" if not (inner.opens or inner.closes or inner.is_named) else ""
        )
        if not text:
            text = f"{start}\n{inner.text}\nit as {made}[{key}]"

    def run(trace: Trace, scope: Scope, it: int) -> int:
        scope.tensors[start] = it
        members: dict[tuple[Any, ...], int] = {}
        for value in keys:
            result = inner.run(trace, scope.inner(), source.value(trace, scope))
            members[(value,)] = result
            it = it if aside else result
        scope.tensors[made] = members
        return it

    loop_ = Item(f"it as {start}\nfor {key} in {literal(keys)} {{ {text} }}", run, True, True)
    return sequence(author, [loop_, *family_used(author, made, keys, trace.types[it])])


def family_used(author: Author, made: str, keys: Sequence[Any], x: TensorType) -> list[Item]:
    dice = author.dice
    form = dice.below(4 if has_map(x) else 3)
    members = _members(made)
    if form == 3:
        return [family_block(author, made, x)]
    if form == 0:
        op = dice.choice((elementwise.Add, elementwise.Mul, elementwise.Maximum, elementwise.Minimum))
        author.count("family joined")
        return [_joined(op, made, members)]
    if form == 1:
        name, other = author.name("i"), author.name("member", "t")
        copy = author.tensor_name()
        author.count("family looped over")

        def run(trace: Trace, scope: Scope, it: int) -> int:
            results = {}
            for place, member in enumerate(members(scope)):
                (results[(place,)],) = trace.apply(activation.Silu(), member)
            scope.tensors[copy] = results
            return it

        text = f"for {name}, {other} in enumerate({made}) {{ let {copy}[{name}] = {other} -> silu }}"
        return [Item(text, run, True, True), _joined(elementwise.Add, copy, _members(copy))]
    author.count("family member")
    key = dice.choice(keys)
    chosen = Reference(f"{made}[{literal(key)}]", lambda trace, scope: scope.tensors[made][(key,)])  # type: ignore[index]
    return [Item(chosen.text, lambda trace, scope, it: chosen.value(trace, scope), opens=True)] + (
        [on_it(author, x, True)] if dice.chance(50) else []
    )


def _members(made: str) -> Callable[[Scope], list[int]]:
    def members(scope: Scope) -> list[int]:
        known = scope.tensors[made]
        assert isinstance(known, dict)
        return list(known.values())

    return members


def _joined(op: type[Op], made: str, members: Callable[[Scope], list[int]]) -> Item:
    """`add(e)`. What `it` was has a name, for nothing may be dropped."""

    def run(trace: Trace, scope: Scope, it: int) -> int:
        (result,) = trace.apply(op(), *members(scope))
        return result

    return Item(f"{op.word}({made})", run, opens=True)


def table(author: Author, trace: Trace, scope: Scope, it: int, keep: bool, depth: int) -> Item | None:
    """A family of two keys, a row of it joined."""
    if author.loops:
        return None
    dice = author.dice
    start, made = author.tensor_name(), author.tensor_name()
    a, b = author.name("i"), author.name("j")
    rows, columns, row = dice.between(1, 2), dice.between(2, 3), dice.below(1)
    inner = on_it(author, trace.types[it], True)
    text = (
        f"it as {start}\nfor {a} in range({rows}) {{ for {b} in range({columns}) "
        f"{{ let {made}[{a}, {b}] = {start} -> {inner.text} }} }}"
    )

    def run(trace: Trace, scope: Scope, it: int) -> int:
        scope.tensors[start] = it
        scope.tensors[made] = {(i, j): inner.run(trace, scope.inner(), it) for i in range(rows) for j in range(columns)}
        return it

    def joined(trace: Trace, scope: Scope, it: int) -> int:
        known = scope.tensors[made]
        assert isinstance(known, dict)
        (result,) = trace.apply(elementwise.Add(), *(known[(row, j)] for j in range(columns)))
        return result

    return sequence(author, [Item(text, run, True, True), Item(f"add({made}[{row}])", joined, opens=True)])


# Names.


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
ANYWHERE = (
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
)
"""Forms that can keep the type of `it`."""
FREE = (*FREE_SIMPLE, *FREE_SIMPLE, from_a_name, *BLOCKS, *BLOCKS)
"""Forms that change it."""
WITHOUT_BODIES = frozenset((*SIMPLE, *FREE_SIMPLE, SHARED))
"""Forms that may stand in the innermost bodies."""
