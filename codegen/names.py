"""The one way in which a name of a `.net` text reaches generated code."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata

from netdsl.source import Span

_FORBIDDEN = frozenset((*keyword.kwlist, *keyword.softkwlist, *dir(builtins)))
_OTHERS = re.compile(r"[^A-Za-z0-9]+")


def identifier(address: str) -> str:
    """A Python identifier for any address: ASCII, no keyword, no builtin, no leading or trailing run of underscores.

    `resnet.unit2.3.1.conv3` -> `resnet_unit2_3_1_conv3`, `class` -> `class_`, `__import__` -> `import_`, `3` -> `n3`.
    Different addresses may share one; `Names` keeps them apart.
    """
    plain = address
    if not address.isascii():
        plain = "".join(char for char in unicodedata.normalize("NFKD", address) if not unicodedata.combining(char))
    text = _OTHERS.sub("_", plain).strip("_")
    if not text or text[0].isdigit():
        text = f"n{text}"
    return f"{text}_" if text in _FORBIDDEN else text


class Names:
    """Identifiers of one namespace: equal addresses get one identifier, different addresses different ones.

    `reserved` are identifiers that the generated code around uses itself.
    """

    def __init__(self, reserved: tuple[str, ...] = ()) -> None:
        self._taken = set(reserved)
        self._known: dict[str, str] = {}

    def __call__(self, address: str, shown: str = "") -> str:
        """The identifier of an address, the same whenever it is asked for; made from `shown` where that is given."""
        if address not in self._known:
            self._known[address] = self.fresh(shown or address)
        return self._known[address]

    def fresh(self, address: str) -> str:
        """An identifier that nothing has yet: the first of a text gets it plain, the others `_2`, `_3`, ..."""
        base = unique = identifier(address)
        count = 1
        while unique in self._taken:
            count += 1
            unique = f"{base.rstrip('_')}_{count}"
        self._taken.add(unique)
        return unique


def comment(text: str) -> str:
    """Any text as part of a one-line comment: what could end the line or hide text is written as an escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def place_of(span: Span | None) -> str:
    """`file:line` of a layer as part of a comment, without folders; nothing for what a pass made."""
    if span is None:
        return ""
    file = span.source.name.replace("\\", "/").rpartition("/")[2]
    return comment(f"{file}:{span.line}")
