"""Random nets as `.net` texts, valid by construction, each with what it means."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from attribute_values import ANY, has_map
from blocks import DRAWS, declared, parameters, steps
from bodies import item
from compounds import INDICES, attended, discrete
from dice import Dice
from expansion import Trace
from forms import FORMS
from hypothesis import strategies as st
from items import IT, Author, Item, Scope, sequence
from operators import layer, let, on_it, own, param

from netdsl.ops import attention, elementwise, pieces, shape
from netdsl.ops.base import Op
from netdsl.ops.sequence import Embed
from netdsl.tensor import DType, TensorType

ENTROPY = 1000
ITEMS = 10
DEPTH = 2
"""Bodies within bodies."""


@dataclass(frozen=True)
class RandomNet:
    """A text, the files it uses, the parameters to set, and what it means.

    forms  counts the forms of the language in it.
    rows   how many samples it is run on.
    extra  a further module to run: float64 `optimized`, float64 `plain` (without passes), or none.
    """

    text: str
    used: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    trace: Trace = field(default_factory=Trace)
    outputs: tuple[tuple[str, int], ...] = ()
    forms: Counter[str] = field(default_factory=Counter)
    rows: int = 1
    extra: str = ""

    def __repr__(self) -> str:
        used = "".join(f"\n{name}:\n{text}" for name, text in self.used.items())
        return f"RandomNet(settings={self.settings}, rows={self.rows}, extra={self.extra!r}, text:\n{self.text}{used})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """For hypothesis, which would print the fields."""
        printer.text(repr(self))


@st.composite
def nets(draw: st.DrawFn) -> RandomNet:
    """Random nets; smaller ones from more zeros."""
    return write(draw(st.binary(min_size=ENTROPY, max_size=ENTROPY)))


def write(entropy: bytes) -> RandomNet:
    """The net that a string of bytes decides on: up to ITEMS items, most of them one layer, some of them many."""
    author = Author(Dice(entropy), FORMS)
    dice = author.dice
    names = {name: kind for name, kind in parameters(author).items() if kind is not Op} if dice.chance(40) else {}
    if dice.chance(20):
        names[author.name("act")] = Op  # the last: a word is given by its default, plain values from outside
    shown, defaults = declared(author, names, len(names) - (Op in names.values()))
    settings = {name: DRAWS[kind](author) for name, kind in names.items() if name not in defaults or dice.chance(40)}
    settings = {name: value for name, value in settings.items() if names[name] is not Op}
    if names:
        author.count("net with parameters")
    if settings:
        author.count("set from outside")
    trace, scope = Trace(), Scope({**defaults, **settings})
    lines = inputs(author, trace, scope)
    start = trace.fork(), scope.inner()
    items: list[Item] = []
    it = trace.inputs[0]
    if names and has_map(trace.types[it]):
        items.append(steps(author, names, False))
        it = items[-1].run(trace, scope, it)
    if discrete(trace, scope, DType.BOOL) and dice.chance(80):
        first = attended(author, trace, scope, trace.types[it])
        if first is not None:
            author.count("attended")
            items.append(first)
            it = first.run(trace, scope, it)
    words = discrete(trace, scope, DType.INT64)
    if words and dice.chance(70):
        items.append(embedded(author, words[0]))
        it = items[-1].run(trace, scope, it)
    if dice.chance(15):
        items.append(with_weights(author, trace.types[it]))
        it = items[-1].run(trace, scope, it)
    for _ in range(dice.between(2, ITEMS)):
        items.append(item(author, trace, scope, it, False, DEPTH))
        it = items[-1].run(trace, scope, it)
    body = sequence(author, items)
    # Once more from the start, now that the net is known: the way that the elaborator goes.
    trace, scope = start
    it = body.run(trace, scope, trace.inputs[0])
    said, results = outputs(author, trace, scope, it)
    net = f"net Net{shown} {{\n" + "\n".join([*lines, body.text, *said]) + "\n}"
    texts, used = placed(author, net)
    return RandomNet(
        texts,
        used,
        settings,
        trace,
        results,
        author.forms,
        dice.between(1, 3),
        dice.choice(("", "", "optimized", "plain")),
    )


def placed(author: Author, net: str) -> tuple[str, dict[str, str]]:
    """The net and its blocks in one file, before or after it, or the blocks in a file of their own."""
    dice = author.dice
    newline = dice.choice(("\n", "\n", "\n", "\r\n"))
    used: dict[str, str] = {}
    if author.blocks and dice.chance(20):
        author.count("used file")
        used["lib/blocks.net"] = "\n\n".join(author.blocks) + "\n"
        texts = ['use "lib/blocks.net"', net]
    else:
        texts = [*author.blocks, net] if dice.chance(70) else [net, *author.blocks]
    whole = "\n\n".join(texts) + "\n"
    return whole.replace("\r\n", "\n").replace("\n", newline), used


def inputs(author: Author, trace: Trace, scope: Scope) -> list[str]:
    """One to three real inputs, the first of them the start of the chain."""
    dice = author.dice
    lines = []
    for place in range(dice.choice((1, 1, 2, 3))):
        rank = dice.choice((3, 3, 3, 3, 2, 2, 1, 4)) if not place or dice.chance(40) else 0
        if rank:
            extents = tuple(dice.between(1, (6, 9, 9, 3)[axis]) for axis in range(rank))
        else:
            extents = trace.types[0].shape
            extents = tuple(1 if dice.chance(20) else n for n in extents)
        name = author.name("image", "x", "p")
        scope.tensors[name] = trace.input(extents)
        shown = dice.choice(("x", " x ")) if rank != 1 else ""
        lines.append(f"input {name}: {shown.join(map(str, extents))}")
        author.count(f"input of {len(extents)} axes")
    if dice.chance(12):
        lines.append(family_of_inputs(author, trace, scope))
    if dice.chance(25):
        kind, dtype = dice.choice((("int", DType.INT64), ("bool", DType.BOOL)))
        name = author.name("words", "mask")
        extents = (4, 2)
        if kind == "bool" and trace.types[0].rank in (2, 3) and dice.chance(80):
            places = attention.length(trace.types[0])
            extents = (places, places) if places <= INDICES and dice.chance(50) else (places,)
        scope.tensors[name] = trace.input(extents, dtype)
        lines.append(f"input {name}: {kind} {' x '.join(map(str, extents))}")
        author.count("input of whole numbers" if kind == "int" else "input of booleans")
    return lines


def family_of_inputs(author: Author, trace: Trace, scope: Scope) -> str:
    """Inputs in a loop, whose key is the last of their extents."""
    dice = author.dice
    *lead, last = trace.types[0].shape
    keys = dice.order(sorted({1, last, last + 1}))[: dice.between(1, 2)]
    name, key = author.name("noise"), author.name("n")
    scope.tensors[name] = {(n,): trace.input((*lead, n)) for n in keys}
    author.count("input of a family")
    return f"for {key} in {keys} {{ input {name}[{key}]: {' x '.join(map(str, (*lead, key)))} }}"


def with_weights(author: Author, x: TensorType) -> Item:
    """What does not depend on the sample at all, joined to what does."""
    dice = author.dice
    name, made = author.tensor_name(), author.tensor_name()
    chain = sequence(
        author, [on_it(author, x._replace(batch=0), True) for _ in range(dice.between(1, 2))], one_line=True
    )
    author.count("layers on weights alone")
    join = layer(author, pieces.Concat, {"axis": -1} if dice.chance(30) else {}, (IT, own(made)))
    return sequence(author, [param(author, name, x.shape), let(author, made, chain, own(name)), join])


def embedded(author: Author, words: str) -> Item:
    """One element of the rows that an input of whole numbers takes from a table, added to all of `it`."""
    dice = author.dice
    picked, width = author.tensor_name(), dice.between(1, 4)
    rows = layer(author, Embed, {"vocab": dice.between(INDICES, 2 * INDICES), "width": width})
    pick = layer(author, pieces.Take, {"index": dice.between(0, 8 * width - 1)})
    chain = sequence(author, [rows, layer(author, shape.Flatten, {}), pick], one_line=True)
    join = layer(author, elementwise.Add, {}, (IT, own(picked)))
    return sequence(author, [let(author, picked, chain, own(words)), join])


def rearranged(author: Author, trace: Trace, scope: Scope) -> Item | None:
    """Layers that only move values, on an input of whole numbers or booleans."""
    dice = author.dice
    others = [name for name, value in scope.tensors.items() if value in trace.inputs and _is_discrete(trace, value)]
    if not others:
        return None
    steps_, x = [], trace.types[scope.tensors[others[0]]]  # type: ignore[index]
    for _ in range(dice.between(1, 2)):
        op = dice.choice([op for op in MOVING if ANY[op](dice, x) is not None])
        values = ANY[op](dice, x)
        assert values is not None
        steps_.append(layer(author, op, values))
        (x,) = op(**values).resolve((x,)).infer((x,))
    return let(author, author.tensor_name(), sequence(author, steps_, one_line=True), own(others[0]))


MOVING: tuple[type[Op], ...] = (shape.Flatten, shape.Reshape, shape.Transpose, pieces.Slice, pieces.Take)


def _is_discrete(trace: Trace, value: Any, *kinds: DType) -> bool:
    return isinstance(value, int) and trace.types[value].dtype in (kinds or (DType.INT64, DType.BOOL))


def outputs(author: Author, trace: Trace, scope: Scope, it: int) -> tuple[list[str], tuple[tuple[str, int], ...]]:
    """The last `it`, alone or with others; said or not."""
    dice = author.dice
    moved = rearranged(author, trace, scope)
    if moved is not None:
        moved.run(trace, scope, it)
    lines = [moved.text] if moved is not None else []
    given = set(trace.inputs)
    found = [
        (name, value)
        for name, value in scope.tensors.items()
        if _is_discrete(trace, value) or not (set(value.values() if isinstance(value, dict) else [value]) & given)
    ]
    if not found or dice.chance(50):
        author.count("output left out")
        return lines, (("", it),)
    last = author.tensor_name()
    names, results = [last], [(last, it)]
    for name, value in dice.order(dice.some(found))[:3]:
        names.append(name)
        if isinstance(value, dict):
            author.count("output of a family")
            results += [(".".join([name, *map(str, keys)]), member) for keys, member in value.items()]
        else:
            author.count("output" if trace.types[value].dtype.is_float else "output of whole numbers")
            results.append((name, value))
    if dice.chance(20):
        author.count("two output statements")
        return [*lines, f"it as {last}", *(f"output {name}" for name in names)], tuple(results)
    return [*lines, f"it as {last}", f"output {', '.join(names)}"], tuple(results)
