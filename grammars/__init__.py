"""The grammars and the parser tables made from them. Ships as netdsl.grammars."""

from __future__ import annotations

import os


def read(name: str) -> str:
    """The text of a file of this folder."""
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()
