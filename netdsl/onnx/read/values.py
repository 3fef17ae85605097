"""What a value of an ONNX graph is while it is read: known numbers, or a view of a tensor of the net.

In the net the batch is implied and every shape is that of one sample; in ONNX the batch is an axis like any other,
which a transposition moves and a reshape merges with others. A view says where it is: it splits a tensor's extents into
atoms, and writes each ONNX axis as a product of atoms, the batch among them. Reshapes and transpositions then only
regroup atoms; steps of the net come of them where an operator needs its operand in a certain order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from netdsl.ir.graph import Value

Array = NDArray[Any]
Axis = tuple[int, ...]
Axes = tuple[Axis, ...]
Extents = tuple[int, ...]

BATCH = -1
"""The atom that is the batch."""


class Unreadable(Exception):
    """A node cannot be expressed; the message is the reason."""


@dataclass(frozen=True)
class Known:
    """Numbers that are known when the model is read. `other` holds them for another batch, where they depend on it."""

    array: Array
    other: Array | None = None
    name: str = ""

    def fixed(self, what: str) -> Array:
        """The numbers, where they do not depend on the batch. Raises Unreadable."""
        if self.other is not None:
            raise Unreadable(f"{what} depends on the size of the batch")
        return self.array


@dataclass(frozen=True)
class Poison:
    """The result of a node that could not be read: what depends on it says nothing more."""


@dataclass(frozen=True)
class View:
    """A tensor of the net, seen as ONNX sees it.

    atoms  extents of one sample, `value`'s own or finer: the value is seen as reshaped to them.
    axes   the ONNX axes; each is a product of atoms, by their places in `atoms`, or of the batch, or of its rows, where
           `value` has several for a sample. Atoms of extent 1 may be in none. A batch that is in none stays behind the
           scenes: ONNX sees a single sample.
    whole  whether ONNX holds whole numbers or truth values here; in the net they are real numbers, 0 and 1.
    """

    value: Value
    atoms: Extents
    axes: Axes
    whole: bool = False

    @property
    def rank(self) -> int:
        """Number of ONNX axes."""
        return len(self.axes)

    @property
    def batch_axis(self) -> int | None:
        """The ONNX axis that the batch is, or is part of."""
        return next((place for place, axis in enumerate(self.axes) if BATCH in axis), None)

    @property
    def rows(self) -> int:
        """Rows of the batch for each sample."""
        return max(self.value.type.batch, 1)

    def shape(self, batch: int) -> Extents:
        """The ONNX shape for a batch of this size."""
        lead = batch * self.rows
        return tuple(prod(lead if atom == BATCH else self.atoms[atom] for atom in axis) for axis in self.axes)

    def per_sample(self, place: int) -> int:
        """The extent of an axis, the batch not counted."""
        return prod(self.atoms[atom] for atom in self.axes[place] if atom != BATCH)

    def transposed(self, order: Sequence[int]) -> View:
        """Axis i becomes what axis order[i] was."""
        return replace(self, axes=tuple(self.axes[place] for place in order))

    def reshaped(self, targets: Sequence[Extents], batches: Extents) -> View:
        """The same elements under other extents: for each batch in `batches`, one shape in `targets`.

        Raises Unreadable where the batch would be cut or mixed.
        """
        if any(prod(shape) != prod(self.shape(batch)) for shape, batch in zip(targets, batches, strict=True)):
            raise Unreadable(f"{self.shape(batches[0])} cannot be reshaped to {tuple(targets[0])}")
        sizes = [list(self.atoms)]
        queue: list[int] = [atom for axis in self.axes for atom in axis][::-1]
        atoms = sizes[0]
        pieces: dict[int, list[int]] = {}  # an atom that was cut: the atoms that it is now, in order
        axes: list[Axis] = []
        for position in range(len(targets[0])):
            wanted = [shape[position] for shape in targets]
            axis: list[int] = []
            while queue and (any(extent != 1 for extent in wanted) or _is_one(queue[-1], atoms, batches, axis)):
                atom = queue.pop()
                extents = tuple(n * self.rows if atom == BATCH else atoms[atom] for n in batches)
                if all(extent % own == 0 for extent, own in zip(wanted, extents, strict=True)):
                    axis.append(atom)
                    wanted = [extent // own for extent, own in zip(wanted, extents, strict=True)]
                    continue
                if atom == BATCH or len(set(wanted)) > 1 or atoms[atom] % wanted[0]:
                    raise Unreadable("it mixes the batch, or cuts extents that do not divide")
                atoms.append(atoms[atom] // wanted[0])
                atoms[atom] = wanted[0]
                pieces.setdefault(atom, [atom]).append(len(atoms) - 1)
                queue += [len(atoms) - 1, atom]
            axes.append(tuple(axis))
        return _renumbered(self, atoms, pieces, tuple(axes))


def _is_one(atom: int, atoms: Sequence[int], batches: Extents, axis: Sequence[int]) -> bool:
    """Whether an axis of extent 1 takes the next atom: one of extent 1, if it has none yet."""
    return not axis and (set(batches) == {1} if atom == BATCH else atoms[atom] == 1)


def _renumbered(view: View, atoms: list[int], pieces: dict[int, list[int]], axes: Axes) -> View:
    """Atoms that were cut get places next to each other, so that they are again in the order of the value's memory."""

    def cut(atom: int) -> list[int]:
        own = pieces.get(atom, [atom])
        return [own[0], *(piece for later in own[1:] for piece in cut(later))]

    order = [atom for first in range(len(view.atoms)) for atom in cut(first)]
    place = {BATCH: BATCH, **{atom: index for index, atom in enumerate(order)}}
    return View(
        view.value,
        tuple(atoms[atom] for atom in order),
        tuple(tuple(place[atom] for atom in axis) for axis in axes),
        view.whole,
    )


@dataclass(frozen=True)
class Reserved(View):
    """A tensor of the net that is not what ONNX has there; only the operators in `takers` know what to do with it."""

    takers: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True)
class Places(Reserved):
    """The places of maxima: by ONNX in the whole tensor, in the net in a plane, which has `plane` elements."""

    takers: ClassVar[tuple[str, ...]] = ("MaxUnpool", "Mod")
    plane: int = 0


@dataclass(frozen=True)
class Regions(Reserved):
    """Boxes, `N*rois x 4`; in ONNX each begins with the number of its sample."""

    takers: ClassVar[tuple[str, ...]] = ("MaxRoiPool",)
    samples: Known = field(default_factory=lambda: Known(np.zeros(0)))


def plain_view(value: Value, batch_axis: int | None, whole: bool = False) -> View:
    """A tensor seen as it is, the batch an axis of its own at `batch_axis`, or behind the scenes."""
    axes: list[Axis] = [(index,) for index in range(value.type.rank)]
    if batch_axis is not None:
        axes.insert(batch_axis, (BATCH,))
    return View(value, value.type.shape, tuple(axes), whole)


def both(function: Callable[..., Any], *operands: Known, name: str = "") -> Known:
    """A function of known numbers, for each batch that they depend on."""
    array = function(*(known.array for known in operands))
    if all(known.other is None for known in operands):
        return Known(array, None, name)
    other = function(*(known.array if known.other is None else known.other for known in operands))
    same = array.shape == other.shape and bool(np.array_equal(array, other))
    return Known(array, None if same else other, name)


def for_batches(arrays: Sequence[Array]) -> Known:
    """What is known for each batch that a net is read with."""
    return both(lambda x: x, Known(arrays[0], arrays[-1] if len(arrays) > 1 else None))
