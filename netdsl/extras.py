"""Libraries that a plain installation lacks: loaded when asked for, and their extra named where they are missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from netdsl import codes
from netdsl.diagnostics import Diagnostic, NetError

EXTRAS = {"torch": "torch", "triton": "triton", "onnx": "onnx"}
"""Each such library, and the extra that brings it."""


def load(module: str, what: str) -> Any:
    """A module that may need such a library. Raises NetError (E0702), which says that `what` needs it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        help = f"`pip install 'netdsl[{EXTRAS[error.name]}]'`"
        message = f"{what} needs {error.name}, which is not installed"
        raise NetError((Diagnostic(codes.MISSING_EXTRA, message, help=help),)) from None
