"""Files that generated modules write with `--tune`, for `compile --tuned`: what all of them have in common."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from netdsl import codes, files
from netdsl.diagnostics import NetError
from netdsl.tensor import DType

MOST_BYTES = 2**20
"""Bytes of a file: some thousand findings."""


def content(path: str, format: str, about: Sequence[str]) -> dict[str, Any]:
    """The JSON of a file that says what format it has, and some texts about how it was made.

    Raises NetError: E0601 (it cannot be read), E0705 (it is no such file).
    """
    data = files.read(path, MOST_BYTES)
    if len(data) > MOST_BYTES:
        raise not_tuned(path, f"it is larger than {MOST_BYTES} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise not_tuned(path, "it is not JSON") from None
    if not isinstance(found, dict) or found.get("format") != format:
        raise not_tuned(path, f'it does not say "format": "{format}"')
    for name in about:
        if not isinstance(found.get(name), str) or len(found[name]) > 200:
            raise not_tuned(path, f"its {name} is not a text of at most 200 characters")
    return found


def check_net(path: str, found: tuple[str, str], net: str, dtype: DType, what: str) -> None:
    """Refuse (E0706) a file that was measured on another net, or in another element type."""
    if found != (net, dtype.label):
        message = f"{path} holds {what} of net {found[0]} in {found[1]}, not of {net} in {dtype.label}"
        raise files.refuse(codes.TUNED_ELSEWHERE, message)


def not_tuned(path: str, why: str) -> NetError:
    """Why a file is none of these."""
    message = f"{path} is not a file of tuned tiles: {why}"
    return files.refuse(codes.NOT_TUNED, message, "`python MODULE.py --weights FILE --tune` writes one")


def is_whole(value: object) -> bool:
    """Whether a JSON value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)
