"""The editor grammar knows the words of the language, and its patterns match the numbers that the language has."""

from __future__ import annotations

import json
import re

from netdsl import grammars
from netdsl.syntax.tables import load

PATTERNS = json.loads(grammars.read("net.tmLanguage.json"))["patterns"]


def test_words() -> None:
    known = {word for item in PATTERNS for word in re.findall(r"\w+", re.sub(r"\\.", " ", item.get("match", "")))}
    assert {word for word in load().literals if word.isalpha()} <= known


def test_patterns() -> None:
    def first(text: str) -> str:
        found = next(item for item in PATTERNS if re.match(item.get("match", item.get("begin")), text))
        return str(found.get("name", "captures"))

    assert first("# a comment").startswith("comment")
    assert first('"text"').startswith("string")
    assert first("64x56x?").startswith("constant.numeric.shape")
    assert first("1e-4").startswith("constant.numeric.netdsl")
    assert first("k3x5").startswith("entity.other.attribute-name")
    assert first("repeat 3").startswith("keyword.control")
    assert first("->").startswith("keyword.operator")
