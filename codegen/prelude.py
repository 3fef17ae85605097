"""What generated modules do once, when weights are loaded: which of it belongs together, and what it is called."""

from __future__ import annotations

from collections.abc import Sequence

from netdsl.ir.graph import Node, Value


def together(prelude: Sequence[Node]) -> list[list[Node]]:
    """The nodes of a prelude in groups that hand values to each other, in order."""
    place_of: dict[Value, int] = {}
    groups: dict[int, list[int]] = {}
    for place, node in enumerate(prelude):
        found = dict.fromkeys(place_of[value] for value in node.inputs if value in place_of)
        groups[place] = [item for group in found for item in groups.pop(group)] + [place]
        place_of.update((value, place) for item in groups[place] for value in prelude[item].outputs)
    return [[prelude[item] for item in group] for group in sorted(map(sorted, groups.values()))]


def short(name: str, parts: int) -> str:
    """The last components of a name, without the numbers that keep layers apart."""
    return "_".join(part.partition("@")[0].rstrip("0123456789") for part in name.split(".")[-parts:])


def extents(shape: tuple[int, ...]) -> list[str]:
    """Extents for `reshape`; a vector's length is left to NumPy, so that layers of all widths read alike."""
    lone = [axis for axis, extent in enumerate(shape) if extent > 1]
    return ["-1" if len(lone) == 1 and axis in lone else str(extent) for axis, extent in enumerate(shape)]


def owner(value: Value) -> str:
    """The layer whose weight this is."""
    return value.name.rpartition(".")[0] or value.name


def owners_of(values: Sequence[Value]) -> list[str]:
    """The layers whose weights these are."""
    return list(dict.fromkeys(map(owner, values)))


def weight_key(part: str, value: Value) -> str:
    """The name of a weight, as an expression of the variable that holds its layer's name."""
    _, dot, last = value.name.rpartition(".")
    return f'f"{{{part}}}.{last}"' if dot else part


def common_prefix(names: Sequence[str]) -> str:
    """The first component, with its dot, if all names share it and have more."""
    starts = {name.partition(".")[0] for name in names}
    return f"{starts.pop()}." if len(starts) == 1 and all(name.count(".") > 1 for name in names) else ""
