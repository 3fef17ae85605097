"""Characters that look like others: what is pasted from papers, slides and word processors instead of what is meant."""

from __future__ import annotations

import unicodedata

_MEANT = {
    "x": "×✕✖⨯х",
    "*": "∗⋅·∙",
    "-": "−–—‐‑‒﹣－",
    "->": "→⟶➔➜➝➞⇒⟹➙↦",
    '"': "“”„‟«»＂",
    "'": "‘’‚‛",
    "/": "÷∕⁄",
    "|": "│∣｜ǀ",
    ":": "∶：",
    ";": "；\u037e",
    ",": "，‚",
    "(": "（",
    ")": "）",
    "[": "［",
    "]": "］",
    "{": "｛",
    "}": "｝",
    "=": "＝",
    "+": "＋",
    "<=": "≤",
    ">=": "≥",
    "!=": "≠",
    "==": "≡",
    "a": "а",
    "c": "с",
    "e": "е",
    "i": "і",
    "o": "ο о",
    "p": "р",
    "s": "ѕ",
    "y": "у",
    " ": "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000",
    "": "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f",
    "...": "…",
}
MEANT = {ord(found): meant for meant, look_alikes in _MEANT.items() for found in look_alikes if found != " "}
MEANT |= {0xFF10 + digit: str(digit) for digit in range(10)}


def plain(character: str) -> str:
    """The one ASCII character to read on with instead of this one; places in the text must not move."""
    meant = MEANT.get(ord(character))
    if meant is None:
        return "_" if character.isalpha() else " "
    return meant if len(meant) == 1 else " "


def describe(character: str) -> tuple[str, str]:
    """What a character is, and what to do about it."""
    code = f"U+{ord(character):04X}"
    name = unicodedata.name(character, "a control character" if ord(character) < 0xA0 else "a character without a name")
    what = f"{character} ({code}, {name})" if character.isprintable() else f"{code} ({name})"
    meant = MEANT.get(ord(character))
    if meant is None:
        help = "names are made of the letters a to z, digits and `_`" if character.isalpha() else "remove it"
        return what, f"{help}; texts in quotes and comments may hold any character"
    if meant == " ":
        return what, "write an ordinary space"
    return what, f"write `{meant}`" if meant else "remove it"
