"""The names of one body. Each is set once; plain names set in a loop live one iteration; families gather keys."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl import codes
from netdsl.diagnostics import Label
from netdsl.elaborate.mistakes import Mistake
from netdsl.elaborate.values import Binding, Datum, Family, Key, keys_text
from netdsl.source import Span
from netdsl.syntax import ast


class Scope:
    """One namespace, in layers: the body itself, then one for each loop around the statement at hand."""

    def __init__(self) -> None:
        self._layers: list[dict[str, Binding]] = [{}]
        self._made: dict[tuple[str, tuple[Key, ...]], Span] = {}
        self._ended: dict[Span, Binding] = {}
        self._left_out: set[int] = set()

    def enter(self) -> None:
        """An iteration begins."""
        self._layers.append({})

    def leave(self) -> None:
        """An iteration ends, and its plain names with it."""
        for binding in self._layers.pop().values():
            self._remember(binding)

    def _remember(self, binding: Binding) -> None:
        # A name set in a loop counts as used if any iteration uses it.
        earlier = self._ended.setdefault(binding.span, binding)
        earlier.used = earlier.used or binding.used

    def bindings(self) -> Iterator[Binding]:
        """Every name ever set in this body, once for each place; for the warning on names never used."""
        for layer in self._layers:
            for binding in layer.values():
                self._remember(binding)
        yield from self._ended.values()

    def names(self) -> Iterator[str]:
        """The names that can be seen now, for suggestions."""
        for layer in self._layers:
            yield from layer

    def find(self, name: str) -> Binding | None:
        """What a name stands for, or None."""
        for layer in reversed(self._layers):
            if name in layer:
                return layer[name]
        return None

    def use(self, names: frozenset[str], part: int) -> None:
        """Names that a part of the text mentions are used, though it is left out; the first time is enough."""
        if part in self._left_out:
            return
        self._left_out.add(part)
        for layer in self._layers:
            few, many = (names, layer) if len(names) < len(layer) else (layer, names)
            for name in few:
                if name in many:
                    layer[name].used = True

    def set(self, name: str, value: Datum, span: Span, kind: str = "name") -> None:
        """Give a name its value, in the innermost layer."""
        earlier = self.find(name)
        if earlier is not None:
            raise _twice(name, span, earlier.span)
        self._layers[-1][name] = Binding(value, span, kind=kind)

    def check_new(self, target: ast.Target) -> None:
        """Refuse a plain name that is set already, before anything is made that would have it."""
        earlier = None if target.keys else self.find(target.name)
        if earlier is not None:
            raise _twice(target.name, target.span, earlier.span)

    def add(self, name: str, keys: tuple[Key, ...], value: Datum, span: Span) -> None:
        """Add a member to a family; a family belongs to the body, not to the loop that fills it."""
        binding = self.find(name)
        if binding is None:
            binding = self._layers[0][name] = Binding(Family(name), span)
        if not isinstance(binding.value, Family) or binding.value.name != name:
            raise _twice(name, span, binding.span)
        if keys in binding.value.members:
            raise _twice(f"{name}[{keys_text(keys)}]", span, self._made[name, keys])
        binding.value.members[keys] = value
        self._made[name, keys] = span


def _twice(name: str, span: Span, earlier: Span) -> Mistake:
    return Mistake(
        codes.NAME_SET_TWICE,
        f"the name `{name}` is set twice",
        span,
        "set again here",
        secondary=(Label(earlier, "first set here"),),
        help="give one of them another name: names are set once and live to the end of their block",
    )
