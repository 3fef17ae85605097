"""How values lie in memory, and the views through which kernels read and write them. All worked out when compiled.

An activation is stored as `N x <shape>`, or `N x <spatial> x C` where its type says channels-last; a value that does
not depend on the sample has no leading N. NumPy views are free, so a kernel may ask for any value in either order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from netdsl.ir.graph import Value
from netdsl.tensor import Layout, TensorType

FIRST, LAST = Layout.CHANNELS_FIRST, Layout.CHANNELS_LAST


def layout_of(type: TensorType) -> Layout:
    """The storage order that matters: below rank 2 both are the same."""
    return type.layout if type.rank > 1 else FIRST


def stored_shape(type: TensorType, layout: Layout | None = None) -> tuple[int, ...]:
    """Extents per row in storage order; `layout` asks what they would be in another order."""
    last = (layout or layout_of(type)) is LAST and type.rank > 1
    return (*type.shape[1:], type.shape[0]) if last else type.shape


TRANSPOSE = ".transpose("


def transposition(order: Sequence[int]) -> str:
    """A step that puts axes in another order; empty where it would change nothing."""
    return "" if list(order) == sorted(order) else f"{TRANSPOSE}{', '.join(map(str, order))})"


@dataclass(frozen=True)
class View:
    """A value as an expression of the generated code: its name, then `steps` (`.transpose(...)`, `[:, None]`).

    pack       function that rearranges a weight once, when loaded; empty for a value read as it is.
    pack_spec  frozen dataclass whose fields are that function's keyword arguments.
    """

    value: Value
    steps: tuple[str, ...] = ()
    pack: str = ""
    pack_spec: object = None

    def then(self, step: str) -> View:
        """The same view with one more step; an empty one changes nothing, and two transpositions make one."""
        if self.steps and step.startswith(TRANSPOSE) and self.steps[-1].startswith(TRANSPOSE):
            before, after = (list(map(int, s[len(TRANSPOSE) : -1].split(", "))) for s in (self.steps[-1], step))
            return self._with(self.steps[:-1]).then(transposition([before[axis] for axis in after]))
        return self._with((*self.steps, step)) if step else self

    def _with(self, steps: tuple[str, ...]) -> View:
        return View(self.value, steps, self.pack, self.pack_spec)


@dataclass(frozen=True)
class Broadcast:
    """A view repeated until it has the extents of another."""

    view: View
    like: View


def in_order(value: Value, layout: Layout) -> View:
    """A value with N in front and its axes in the order of `layout`, by a transposed view where it is stored otherwise.

    What does not depend on the sample gets an N of 1.
    """
    view = View(value) if value.type.batch else View(value).then("[None]")
    return view.then(_transposition(value.type, layout, 1))


def first(value: Value) -> View:
    """A value as `N x C x ...`."""
    return in_order(value, FIRST)


def last(value: Value) -> View:
    """A value as `N x ... x C`."""
    return in_order(value, LAST)


def stored(value: Value) -> View:
    """A value with N in front, its axes in the order in which it lies in memory."""
    return in_order(value, layout_of(value.type))


def is_stored(value: Value, layout: Layout) -> bool:
    """Whether a value lies in memory in this order, so that every reshape of such a view is a view."""
    return not _transposition(value.type, layout, 1)


def axis_in(type: TensorType, axis: int, layout: Layout) -> int:
    """Where an axis of the shape (it may count from the end) is in a view of this order, N counted."""
    axis %= type.rank
    if layout is FIRST or type.rank < 2:
        return axis + 1
    return type.rank if axis == 0 else axis


def aligned(operand: Value, rank: int, layout: Layout) -> View:
    """An operand of an elementwise operator, ready to broadcast against a result of this rank, seen in this order.

    What does not depend on the sample stays without N: broadcasting puts it in.
    """
    view = View(operand)
    if operand.type.rank == rank:
        return view.then(_transposition(operand.type, layout, 1 if operand.type.batch else 0))
    if operand.type.batch == 0:
        return view.then(".reshape(1)")  # one element
    if operand.type.rank < rank:
        return view.then(f"[:{', None' * (rank - operand.type.rank)}]")
    return view.then(f"[:{', 0' * (operand.type.rank - rank)}]")


def channel_step(rank: int, layout: Layout) -> str:
    """What turns a vector, one number a channel, into something that broadcasts against a result of this rank."""
    return "" if rank < 2 or layout is LAST else f"[:{', None' * (rank - 1)}]"


def is_full(operand: Value, result: Value) -> bool:
    """Whether an operand has an element for each of the result's, so that it may be walked in step with it."""
    return operand.type.shape == result.type.shape and operand.type.batch == result.type.batch


def is_vector(operand: Value, rank: int, layout: Layout) -> bool:
    """Whether an operand is the same for all samples and differs at most along the last axis of a result so seen."""
    if operand.type.batch:
        return False
    if operand.type.size == 1:
        return True
    return operand.type.rank == rank and operand.type.size == stored_shape(operand.type, layout)[-1]


def _transposition(type: TensorType, layout: Layout, lead: int) -> str:
    if type.rank < 2 or layout_of(type) is layout:
        return ""
    return _turned(type.rank, layout, lead)


@cache
def _turned(rank: int, layout: Layout, lead: int) -> str:
    """The step that puts the axes of a value, after `lead` others, in the order of `layout`, out of the other one."""
    axes = list(range(lead, rank + lead))
    moved = [axes[-1], *axes[:-1]] if layout is FIRST else [*axes[1:], axes[0]]
    return transposition([*range(lead), *moved])
