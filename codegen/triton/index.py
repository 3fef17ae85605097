"""Addresses: where the elements of a value lie in memory, as expressions of the generated code.

A value is stored as `rows x <shape>`, or `rows x <spatial> x C` where its type says channels-last; one that does not
depend on the sample has no rows. Everything but the number of rows is known here, so expressions hold plain numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import prod

from netdsl.tensor import Layout, TensorType

_ATOM = re.compile(r"(\w+|\([^()]*\))(\.to\(tl\.\w+\))?(\[[^\]]*\])?")


def storage_axes(type: TensorType) -> tuple[int, ...]:
    """The axes from the outermost to the innermost in memory."""
    axes = tuple(range(type.rank))
    return (*axes[1:], *axes[:1]) if type.layout is Layout.CHANNELS_LAST else axes


def strides(type: TensorType) -> tuple[int, ...]:
    """Elements between neighbours along each axis."""
    result = [0] * type.rank
    step = 1
    for axis in reversed(storage_axes(type)):
        result[axis] = step
        step = type.pitch if type.pitch and step == 1 else step * type.shape[axis]
    return tuple(result)


def row_stride(type: TensorType) -> int:
    """Elements between rows; 0 for what does not depend on the sample."""
    if not type.batch:
        return 0
    return type.size // type.shape[storage_axes(type)[-1]] * type.pitch if type.pitch else type.size


def same_storage(a: TensorType, b: TensorType) -> bool:
    """Whether two types of one shape put every element at the same place."""
    if (a.shape, a.batch, a.pitch) != (b.shape, b.batch, b.pitch):
        return False
    return a.layout is b.layout or _significant(a) == _significant(b)


def _significant(type: TensorType) -> tuple[int, ...]:
    """The axes of more than one element, in the order of storage."""
    return tuple(axis for axis in storage_axes(type) if type.shape[axis] > 1)


def reinterprets(source: TensorType, result: TensorType) -> bool:
    """Whether the elements of both in the written order (channels first) lie in the same order in memory."""
    return all(_significant(t) == tuple(a for a in range(t.rank) if t.shape[a] > 1) for t in (source, result))


def linear(terms: Iterable[tuple[str, int]], constant: int = 0) -> str:
    """A sum of products: `n * 3136 + c * 49 + 8`; terms that vanish are left out, an empty sum is `0`."""
    parts = [product(text, factor) for text, factor in terms if factor and text != "0"]
    if constant or not parts:
        parts.append(str(constant))
    return " + ".join(parts).replace("+ -", "- ")


def product(text: str, factor: int) -> str:
    """`text * factor`, in parentheses where it needs them."""
    if factor == 1:
        return text
    return f"{atom(text)} * {factor}"


def atom(text: str) -> str:
    """An expression that binds tighter than any operator."""
    return text if _ATOM.fullmatch(text) else f"({text})"


def quotient(text: str, divisor: int) -> str:
    """`text // divisor`."""
    return text if divisor == 1 else f"{atom(text)} // {divisor}"


def remainder(text: str, divisor: int) -> str:
    """`text % divisor`."""
    return "0" if divisor == 1 else f"{atom(text)} % {divisor}"


def shifted(text: str, amount: int) -> str:
    """`text + amount`."""
    if amount == 0:
        return text
    if text == "0":
        return str(amount)
    return f"{text} + {amount}" if amount > 0 else f"{text} - {-amount}"


def decompose(index: str, extents: Sequence[int], *, lead: bool) -> list[str]:
    """Coordinates of the element number `index`, counted with the last axis running fastest.

    With `lead`, one more coordinate comes first: what is left over, the row. Without, `index` is below the product.
    """
    result = []
    step = 1
    for place, extent in reversed(list(enumerate(extents))):
        whole = quotient(index, step)
        outermost = place == 0 or prod(extents[:place]) == 1
        result.append("0" if extent == 1 else whole if outermost and not lead else f"{whole} % {extent}")
        step *= extent
    if lead:
        result.append(quotient(index, step))
    return result[::-1]


def coordinates(index: str, type: TensorType, *, lead: bool = True) -> tuple[str, tuple[str, ...]]:
    """The row and the coordinate on each axis of an element, from its place in the storage of `type`."""
    axes = storage_axes(type)
    parts = decompose(index, [type.shape[axis] for axis in axes], lead=lead)
    row = parts.pop(0) if lead else "0"
    by_axis = dict(zip(axes, parts, strict=True))
    return row, tuple(by_axis[axis] for axis in range(type.rank))
