"""What generated modules do once, when weights are loaded: which of it belongs together, and what it is called."""

from __future__ import annotations

from collections.abc import Sequence

from netdsl.ir.graph import Node, Value


def together(prelude: Sequence[Node]) -> list[list[Node]]:
    """The nodes of a prelude in groups that hand values to each other, in order."""
    group_of: dict[Value, list[Node]] = {}
    groups: list[list[Node]] = []
    for node in prelude:
        found = list({id(group): group for group in (group_of.get(value) for value in node.inputs) if group}.values())
        joined = [item for group in found for item in group] + [node]
        groups = [group for group in groups if not any(group is other for other in found)] + [joined]
        group_of.update((value, joined) for item in joined for value in item.outputs)
    order = {node: index for index, node in enumerate(prelude)}
    return [sorted(group, key=order.__getitem__) for group in sorted(groups, key=lambda group: order[group[0]])]


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
