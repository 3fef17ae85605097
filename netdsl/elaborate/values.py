"""What an expression can stand for while a program is elaborated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from netdsl.ir.graph import Value
from netdsl.ops.base import Op
from netdsl.source import Span
from netdsl.syntax import ast
from netdsl.tensor import shape_text

Key: TypeAlias = "int | float | bool | str"


class Poison:
    """The value of what failed: it silences everything that depends on it, so that one mistake is one message."""

    def __repr__(self) -> str:
        return "POISON"


POISON = Poison()


class Family:
    """Tensors under one name, by keys, in the order of making."""

    def __init__(self, name: str, members: dict[tuple[Key, ...], Datum] | None = None) -> None:
        self.name = name
        self.members: dict[tuple[Key, ...], Datum] = members if members is not None else {}

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Datum]:
        return iter(self.members.values())

    def select(self, keys: tuple[Key, ...]) -> Datum | None:
        """The member with these keys; the sub-family where they are the first of more; None without either."""
        if keys in self.members:
            return self.members[keys]
        rest = {key[len(keys) :]: member for key, member in self.members.items() if key[: len(keys)] == keys}
        return Family(f"{self.name}[{keys_text(keys)}]", rest) if rest else None


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A block of the file, as a value."""

    definition: ast.Definition


@dataclass(frozen=True, slots=True)
class WordRef:
    """An operator's word, as a value: `bottleneck(act = silu)`."""

    word: str


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """A layer with its own values settled: a block or an operator, before it meets a tensor.

    word        as written, which names the layer.
    target      the block, the operator, or the shared layer.
    positional  values in parentheses: a block's parameters, an operator's operands.
    named       the same by name, with their places.
    op          the operator with its own values, before it meets a tensor.
    tied        the address of the weight that it uses in place of its own; empty for its own.
    """

    word: str
    target: BlockRef | WordRef | SharedLayer
    span: Span
    positional: tuple[tuple[Datum, Span], ...] = ()
    named: tuple[tuple[str, Datum, Span], ...] = ()
    op: Op | None = None
    tied: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class SharedLayer:
    """What `share` declares: a layer, and the address that its weights are kept under, wherever it is called from."""

    call: Call
    weights: str


Shape: TypeAlias = "tuple[int, ...]"
Datum: TypeAlias = (
    "int | float | bool | str | list[Datum] | Shape | Value | Family | BlockRef | WordRef | SharedLayer | Poison"
)


@dataclass(slots=True)
class Binding:
    """A name of a body: what it stands for, where it was set, and whether anything has used it."""

    value: Datum
    span: Span
    used: bool = False
    kind: str = "name"


def keys_text(keys: tuple[Key, ...]) -> str:
    """Keys as a text writes them: `i, j`."""
    return ", ".join(text(key) for key in keys)


def text(value: Datum) -> str:
    """A value as a text writes it, for messages and for the frames of block calls."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"'
        case list():
            shown = [text(item) for item in value[:8]] + (["..."] if len(value) > 8 else [])
            return f"[{', '.join(shown)}]"
        case tuple():
            return shape_text(value)
        case Value():
            return f"a tensor {shape_text(value.type.shape)}"
        case Family():
            return f"the family {value.name}"
        case BlockRef():
            return value.definition.name.name
        case WordRef():
            return value.word
        case SharedLayer():
            return value.call.word
        case Poison():
            return "?"
        case int() if value.bit_length() > 128:
            return f"a whole number of {value.bit_length()} bits"
        case _:
            return str(value)


def kind(value: Datum) -> str:
    """What kind of thing a value is, for messages."""
    match value:
        case bool():
            return "a boolean"
        case int():
            return "a whole number"
        case float():
            return "a number with a fraction"
        case str():
            return "a string"
        case list():
            return "a list"
        case tuple():
            return "a shape"
        case Value():
            return "a tensor"
        case Family():
            return "a family of tensors"
        case BlockRef():
            return "a block"
        case WordRef():
            return "an operator's word"
        case SharedLayer():
            return "a shared layer"
        case _:
            return "nothing"
