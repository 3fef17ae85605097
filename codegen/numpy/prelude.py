"""The prelude as functions: layers whose weights are made alike share one, and `prepare` calls it for each."""

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
