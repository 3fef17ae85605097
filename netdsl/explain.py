"""The pages of the codes: `netdsl/pages/<code>.md`, each with a bad and a good example."""

from __future__ import annotations

import os
import re

FOLDER = os.path.join(os.path.dirname(__file__), "pages")


def pages() -> list[str]:
    """Every code that has a page, in order."""
    return sorted(name.removesuffix(".md") for name in os.listdir(FOLDER) if re.fullmatch(r"[EW][0-9]{4}\.md", name))


def page(code: str) -> str | None:
    """The page of a code, as Markdown; None where there is none."""
    if not re.fullmatch(r"[EW][0-9]{4}", code):
        return None
    path = os.path.join(FOLDER, f"{code}.md")
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as file:
        return file.read()


def examples(text: str, kind: str) -> list[str]:
    """The fenced blocks of a page that are of this kind: `net bad`, `net good` or `console`."""
    return re.findall(rf"^```{re.escape(kind)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
