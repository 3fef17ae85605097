"""Where an operator is printed: the texts and types of its operands, and its module in the class around it."""

from __future__ import annotations

from collections.abc import Callable

from netdsl.ops.base import Types


class Site:
    """One layer. `types` and `results` are those of its operands and results.

    `module(text)` declares the layer's module by the text that makes it, and returns how `forward` reaches it.
    `helper(name)` asks for a function or class of `templates/` and returns its name. `tied` makes the
    module whose weight this one takes without the rest of it.
    """

    def __init__(
        self, types: Types, results: Types, module: Callable[[str], str], helper: Callable[[str], str], tied: str | None
    ) -> None:
        self.types = types
        self.results = results
        self.module = module
        self.helper = helper
        self.tied = tied

    @property
    def rank(self) -> int:
        """Axes of the first operand, that of the samples included."""
        return self.types[0].rank + 1


def pairs(padding: tuple[int, ...]) -> tuple[int, ...]:
    """Starts then ends as `F.pad` wants them: pairs, the last axis first."""
    rank = len(padding) // 2
    return tuple(side for axis in reversed(range(rank)) for side in (padding[axis], padding[rank + axis]))


def short(values: tuple[int, ...]) -> str:
    """One value for each axis; a single one where they are equal, as people write it."""
    return str(values[0]) if len(set(values)) == 1 else str(values)


def options(**values: object) -> str:
    """Keyword arguments, each with a comma before it; those that are None are left out."""
    return "".join(f", {name}={value}" for name, value in values.items() if value is not None)
