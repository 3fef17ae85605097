"""How much of the input one element of a tensor sees, and how far apart neighbouring elements look. Exact rationals.

A window of extent e and stride s over positions that see r and lie j apart sees r + (e - 1) j, at positions s j apart
(Araujo et al. 2019, doi:10.23915/distill.00021). Padding counts as input. Where branches join, the field is the
largest of theirs. What mixes all positions of an axis (flatten, a whole pool, a matrix product) sees the whole axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from netdsl.ir.graph import Graph, Node, Value
from netdsl.ops.base import Window

Number = int | Fraction


class Axis(NamedTuple):
    """A tensor's axis that runs along a spatial axis (`dim`) of the input, in elements of the input.

    step    distance between what neighbouring elements look at.
    centre  where the first element looks, from the centre of the input's first element. None after upsampling, whose
            elements fall between those of a strided layer by less than anyone would mend.
    """

    dim: int
    step: Number
    centre: Number | None

    def moved(self, elements: Number) -> Axis:
        """The axis when its first element is the one that was this many steps further."""
        return self if self.centre is None else self._replace(centre=_whole(self.centre + elements * self.step))


class Rows(NamedTuple):
    """A tensor's axis that holds all positions of a map, one after another; together they see these extents."""

    sizes: tuple[Number, ...]


class Sight(NamedTuple):
    """How far an element sees along one spatial axis of the input; `everything` is not widened further."""

    size: Number
    everything: bool = False


class Field(NamedTuple):
    """Receptive field of a tensor: what each of its axes runs along, and the extent seen per spatial axis."""

    axes: tuple[Axis | Rows | None, ...]
    seen: tuple[Sight, ...]

    @property
    def size(self) -> list[int | float]:
        """Extents in elements of the input, `[h, w]` (one for a net over lines)."""
        return [_plain(sight.size) for sight in self.seen]

    @property
    def stride(self) -> list[int | float] | None:
        """Distance between neighbouring elements, in elements of the input; None where positions are gone."""
        steps = {axis.dim: axis.step for axis in self.axes if isinstance(axis, Axis)}
        return [_plain(steps[dim]) for dim in range(len(self.seen))] if len(steps) == len(self.seen) else None


class Shift(NamedTuple):
    """A join of branches that look at different places, by at least one position."""

    node: Node
    dim: int
    centres: tuple[Number, ...]


def receptive_fields(graph: Graph) -> tuple[dict[Value, Field | None], list[Shift]]:
    """The field of every value (None for what sees no feature map), and the joins whose branches do not line up."""
    fields: dict[Value, Field | None] = {}
    for value in graph.inputs:
        axes = tuple(Axis(dim, 1, 0) for dim in range(value.type.rank - 1))
        fields[value] = Field((None, *axes), (Sight(1),) * len(axes)) if axes else None
    shifts: list[Shift] = []
    for node in graph.nodes:
        operands = [(fields.get(value), value) for value in node.operands]
        seeing = [(field, value) for field, value in operands if field]
        field = _step(node, seeing, shifts) if seeing else None
        for output in node.outputs:
            if field and len(field.axes) != output.type.rank:
                fields[output] = _everything(field, seeing[0][1], range(len(field.axes)))._replace(
                    axes=(None,) * output.type.rank
                )
            else:
                fields[output] = field
    return fields, shifts


def _step(node: Node, operands: list[tuple[Field, Value]], shifts: list[Shift]) -> Field:
    """The field of a node's results."""
    op: Any = node.op
    field, value = operands[0]
    window = op.window(tuple([operand.type for operand in node.operands]))
    if window is not None:
        return _windowed(field, window, op)
    rule = _RULES.get(op.word)
    if rule is not None:
        return rule(field, value, op, node.outputs[0])
    if op.word == "matmul":
        return _mixed(operands, node.outputs[0])
    return _joined(node, operands, shifts) if len(operands) > 1 else field


def _windowed(field: Field, window: Window, op: Any) -> Field:
    """Convolutions, pools and upsampling: the window slides along the last axes."""
    rank = len(window.extent)
    if len(field.axes) != rank + 1:
        return field
    if any(isinstance(axis, Rows) for axis in field.axes):
        return _everything(field, None, range(len(field.axes)))._replace(axes=(None,) * len(field.axes))
    axes: list[Axis | Rows | None] = [field.axes[0]]
    seen = list(field.seen)
    padding = getattr(op, "padding", (0,) * rank)
    for axis, extent, (over, under), before in zip(field.axes[1:], *window, padding, strict=False):
        if not isinstance(axis, Axis):
            axes.append(None)
            continue
        seen[axis.dim] = _wider(seen[axis.dim], (extent - 1) * axis.step)
        looking = axis.moved(_ratio(extent - 1, 2) - before) if over >= under else axis._replace(centre=None)
        axes.append(looking._replace(step=_ratio(axis.step * over, under)))
    return Field(tuple(axes), tuple(seen))


def _wider(sight: Sight, more: Number) -> Sight:
    return sight if sight.everything else Sight(_whole(sight.size + more))


def _everything(field: Field, value: Value | None, which: Sequence[int]) -> Field:
    """Elements now see all along these axes of `value`; the axes stay."""
    seen = list(field.seen)
    for i in which:
        axis = field.axes[i]
        if isinstance(axis, Rows):
            seen = [Sight(size, True) for size in axis.sizes]
        elif axis and value and not seen[axis.dim].everything:
            seen[axis.dim] = Sight(_wider(seen[axis.dim], (value.type.shape[i] - 1) * axis.step).size, True)
    return Field(field.axes, tuple(seen))


def _joined(node: Node, operands: list[tuple[Field, Value]], shifts: list[Shift]) -> Field:
    """Sums, products, concatenations: the largest field; what is broadcast along an axis shows it everything it saw."""
    shape = node.outputs[0].type.shape
    dims = max(len(field.seen) for field, _ in operands)
    seen = [Sight(0)] * dims
    for field, value in operands:
        for dim, sight in enumerate(field.seen):
            runs = any(
                axis
                and (isinstance(axis, Rows) or axis.dim == dim)
                and (len(shape) != value.type.rank or value.type.shape[i] == shape[i])
                for i, axis in enumerate(field.axes)
            )
            everything = seen[dim].everything or sight.everything or not runs
            seen[dim] = Sight(max(seen[dim].size, sight.size), everything)
    axes: list[Axis | Rows | None] = []
    for i, extent in enumerate(shape):
        running = [
            axis
            for field, value in operands
            if value.type.rank == len(shape) and value.type.shape[i] == extent and (axis := field.axes[i])
        ]
        axes.append(running[0] if running else None)
        there = [axis for axis in running if isinstance(axis, Axis)]
        centres = tuple(axis.centre for axis in there if axis.centre is not None and axis.step == there[0].step)
        if (
            len(centres) == len(there) > 1
            and max(centres) - min(centres) >= there[0].step
            and not seen[there[0].dim].everything
        ):
            shifts.append(Shift(node, there[0].dim, centres))
    return Field(tuple(axes), tuple(seen))


def _mixed(operands: list[tuple[Field, Value]], output: Value) -> Field:
    """A product of activations: every element sees all that any element of the operands saw."""
    whole = [_everything(field, value, range(len(field.axes))) for field, value in operands]
    dims = max(len(field.seen) for field in whole)
    seen = tuple(Sight(max(f.seen[dim].size for f in whole if dim < len(f.seen)), True) for dim in range(dims))
    return Field((None,) * output.type.rank, seen)


def _flatten(field: Field, value: Value, op: Any, output: Value) -> Field:
    """All positions of all axes, in every element."""
    whole = _everything(field, value, range(len(field.axes)))
    return Field((None,) * output.type.rank, whole.seen)


def _tokens(field: Field, value: Value, op: Any, output: Value) -> Field:
    """Positions become rows; each still sees what it saw."""
    whole = _everything(field, value, range(len(field.axes)))
    return Field((Rows(tuple(sight.size for sight in whole.seen)), None), field.seen)


def _transpose(field: Field, value: Value, op: Any, output: Value) -> Field:
    rank = len(field.axes)
    order = op.order or (*range(rank - 2), rank - 1, rank - 2)
    return Field(tuple(field.axes[i] for i in order), field.seen)


def _along_axis(field: Field, value: Value, op: Any, output: Value) -> Field:
    """Normalisation along one axis: every element along it sees the whole of it."""
    return _everything(field, value, (op.axis % len(field.axes),))


def _along_all(field: Field, value: Value, op: Any, output: Value) -> Field:
    return _everything(field, value, range(len(field.axes)))


def _fully_connected(field: Field, value: Value, op: Any, output: Value) -> Field:
    whole = _everything(field, value, (len(field.axes) - 1,))
    return Field((*whole.axes[:-1], None), whole.seen)


def _recurrent(field: Field, value: Value, op: Any, output: Value) -> Field:
    """What comes before, or with `reverse` after, may be all of the sequence."""
    if output.type.rank != 2:
        return _flatten(field, value, op, output)
    return Field((field.axes[0], None), _along_all(field, value, op, output).seen)


def _reduced(field: Field, value: Value, op: Any, output: Value) -> Field:
    rank = len(field.axes)
    which = [axis % rank for axis in op.axis] or list(range(rank))
    whole = _everything(field, value, which)
    kept = [
        None if i in which else axis for i, axis in enumerate(whole.axes) if output.type.rank == rank or i not in which
    ]
    return Field(tuple(kept), whole.seen)


def _moved(field: Field, value: Value, op: Any, output: Value) -> Field:
    """Padding and cropping: the same elements, counted from another one."""
    sign = 1 if op.word == "crop" else -1
    moved = [
        axis.moved(sign * before) if isinstance(axis, Axis) else axis
        for axis, before in zip(field.axes[1:], op.padding, strict=False)
    ]
    return Field((field.axes[0], *moved), field.seen)


def _sliced(field: Field, value: Value, op: Any, output: Value) -> Field:
    where = op.axis % len(field.axes)
    axis = field.axes[where]
    if not isinstance(axis, Axis):
        return field
    moved = axis.moved(op.start)._replace(step=axis.step * op.step)
    return Field((*field.axes[:where], moved, *field.axes[where + 1 :]), field.seen)


def _taken(field: Field, value: Value, op: Any, output: Value) -> Field:
    where = op.axis % len(field.axes)
    return Field((*field.axes[:where], *field.axes[where + 1 :]), field.seen)


def _row_by_row(field: Field, value: Value, op: Any, output: Value) -> Field:
    """Inside `each`: the leading axis is gone. Of an input of many maps, each map is now what is looked at."""
    channels, *axes = field.axes[1:]
    if not isinstance(channels, Axis):
        return field._replace(axes=field.axes[1:])
    seen = tuple(sight for dim, sight in enumerate(field.seen) if dim != channels.dim)
    later = [a._replace(dim=a.dim - (a.dim > channels.dim)) if isinstance(a, Axis) else a for a in axes]
    return Field((None, *later), seen)


def _regrouped(field: Field, value: Value, op: Any, output: Value) -> Field:
    return field._replace(axes=(None, *field.axes))


_RULES: dict[str, Callable[[Field, Value, Any, Value], Field]] = {
    "flatten": _flatten,
    "reshape": _flatten,
    "tokens": _tokens,
    "roipool": _along_all,
    "roialign": _along_all,
    "each": _row_by_row,
    "regroup": _regrouped,
    "transpose": _transpose,
    "layernorm": _along_axis,
    "softmax": _along_axis,
    "logsoftmax": _along_axis,
    "groupnorm": _along_all,
    "fc": _fully_connected,
    "lstm": _recurrent,
    "gru": _recurrent,
    "mean": _reduced,
    "sum": _reduced,
    "largest": _reduced,
    "smallest": _reduced,
    "pad": _moved,
    "crop": _moved,
    "slice": _sliced,
    "take": _taken,
}
"""By the operator's word: what has no window of its own, but does not see element by element either."""


def _ratio(over: Number, under: int) -> Number:
    if isinstance(over, int) and over % under == 0:
        return over // under
    return _whole(Fraction(over) / under)


def _whole(number: Number) -> Number:
    """A whole number as an int, which is faster to compute with."""
    return number.numerator if number.denominator == 1 else number


def _plain(number: Number) -> int | float:
    return number.numerator if number.denominator == 1 else float(number)
