"""Elementwise operators as statements, and tails: those fused onto a layer, as one generated function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

from netdsl.codegen.numpy.calls import RESULT, Call, Elementwise, Operand, Step
from netdsl.codegen.numpy.storage import Broadcast, View, is_full, is_vector
from netdsl.codegen.printing import Expression, keywords, statement
from netdsl.codegen.render import literal
from netdsl.ir.graph import Value
from netdsl.tensor import Layout

COMMUTATIVE = frozenset(("np.add", "np.multiply", "np.maximum", "np.minimum"))
"""NumPy's functions that do not care which operand comes first."""


@dataclass(frozen=True)
class Link:
    """One operator of a chain. `values` are its inputs; `carried` are the places of those that are the value so far."""

    word: str
    operator: Elementwise
    carried: tuple[int, ...]
    values: tuple[Value, ...]

    @property
    def others(self) -> tuple[int, ...]:
        """The inputs that are not the value so far."""
        return tuple(index for index in range(len(self.values)) if index not in self.carried)


@dataclass(frozen=True)
class Tail:
    """A generated function `name(y, *parameters)` that works in place on y, a result or a block of it."""

    name: str
    parameters: tuple[str, ...]
    body: tuple[str, ...]


def tail(links: Sequence[Link]) -> Tail:
    """A chain as one function, named after its operators, its parameters in the order of `tail_reads`."""
    parameters: list[str] = []
    body: list[str] = []
    for link in links:
        names: dict[int, Expression] = {}
        for index in link.others:
            wanted = link.operator.names[index - 1] if link.operator.names and index else "other"
            wanted = wanted if index or link.carried else "x"
            count = sum(name.rstrip("0123456789") == wanted for name in parameters)
            parameters.append(f"{wanted}{count + 1}" if count else wanted)
            names[index] = parameters[-1]
        body += statements(link, names, "y")
    name = "_".join(link.word for link in links)
    # A function that is called as its only parameter would hide itself.
    return Tail(f"add_{name}" if name in parameters else name, tuple(parameters), tuple(body))


def tail_reads(links: Sequence[Link], result: Value, call: Call, layout: Layout) -> tuple[View | Broadcast, ...]:
    """What a kernel that works in blocks takes for the parameters: vectors along the last axis, or whole arrays."""
    reads: list[View | Broadcast] = []
    for link in links:
        for index in link.others:
            view, operand = link.operator.inputs[index], link.values[index]
            if operand.type.batch == 0 and operand.type.rank == 1 and not view.steps:
                reads.append(view)
            elif is_vector(operand, result.type.rank, layout):
                reads.append(View(operand).then(".reshape(-1)"))
            elif is_full(operand, result):
                reads.append(view.then(call.expand))
            else:
                reads.append(Broadcast(view.then(call.expand if operand.type.batch else ""), call.writes[0]))
    return tuple(reads)


def statements(link: Link, names: dict[int, Expression], result: str) -> list[str]:
    """An operator as statements that leave their outcome in `result`, which holds the carried inputs before."""
    here, lines = result, []
    if reads_late(link):
        here = "x"
        lines.append(f"x = {result}.copy()")
    names = {**names, **dict.fromkeys(link.carried, here)}
    steps = _carried_first(link.operator.steps, link.carried)
    return lines + [statement("", step.function, operands(step, names, result)) for step in steps]


def reads_late(link: Link) -> bool:
    """Whether the first step writes over what a later one reads."""
    later = _carried_first(link.operator.steps, link.carried)[1:]
    return any(Operand(index) in step.arguments for step in later for index in link.carried)


def operands(step: Step, names: dict[int, Expression], result: str, out: bool = True) -> list[Expression]:
    """What the function of a step is called with; its outcome goes to `result`, unless it is to be returned."""
    names = {**names, RESULT.index: result}
    arguments = [names[a.index] if isinstance(a, Operand) else _number(a) for a in step.arguments]
    return [*arguments, *([f"out={result}"] if out else []), *keywords(step.spec)]


def _number(value: float) -> str:
    return "np.inf" if value == inf else literal(value)


def _carried_first(steps: tuple[Step, ...], carried: tuple[int, ...]) -> tuple[Step, ...]:
    """a + b + y = y + a + b: the value so far comes first, which keeps it from being overwritten, and chains alike."""
    if not carried or 0 in carried or any(step.function not in COMMUTATIVE for step in steps):
        return steps
    swap = {0: carried[0], carried[0]: 0}

    def swapped(argument: Operand | float) -> Operand | float:
        return Operand(swap.get(argument.index, argument.index)) if isinstance(argument, Operand) else argument

    return tuple(replace(step, arguments=tuple(map(swapped, step.arguments))) for step in steps)
