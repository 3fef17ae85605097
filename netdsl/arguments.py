"""What callers of the library and of the command line pass, as plain values; NetError (E0615) where it is of no use."""

from __future__ import annotations

import os
from collections.abc import Mapping

from netdsl import codes
from netdsl.files import refuse

LARGEST_BATCH = 999_999_999
LARGEST_SEED = LARGEST_EXTENT = 10**18 - 1


def shown(value: object) -> str:
    """A value as a message shows it."""
    try:
        return f"{value!r:.100}"
    except ValueError:  # Python prints no whole number of more than 4,300 digits
        return "a number of thousands of digits"


def plain(value: object) -> object:
    """NumPy's and PyTorch's numbers and arrays as Python's numbers and lists; anything else as it is."""
    listed = getattr(value, "tolist", None)
    return listed() if callable(listed) else value


def path(what: str, value: object) -> str:
    """A path as text."""
    if isinstance(value, str | bytes | os.PathLike):
        return os.fsdecode(value)
    raise refuse(codes.BAD_OPTION, f"{what} must be a path, not {shown(value)}")


def word(what: str, value: object) -> str:
    """A name."""
    if isinstance(value, str):
        return value
    raise refuse(codes.BAD_OPTION, f"{what} must be a name, not {shown(value)}")


def whole(what: str, value: object, least: int, most: int) -> int:
    """A whole number within bounds; a truth value is none."""
    number = plain(value)
    if isinstance(number, int) and not isinstance(number, bool) and least <= number <= most:
        return number
    raise refuse(codes.BAD_OPTION, f"{what} must be a whole number from {least} to {most}, not {shown(value)}")


def mapping(what: str, value: object) -> Mapping[str, object]:
    """Values by name."""
    if not isinstance(value, Mapping):
        raise refuse(codes.BAD_OPTION, f"{what} must be a dictionary by name, not {shown(value)}")
    for name in value:
        word(f"a name in {what}", name)
    return value


def shape(name: str, value: object) -> tuple[int, ...]:
    """The extents of an input."""
    extents = plain(list(value) if isinstance(value, tuple) else value)
    if isinstance(extents, list):
        return tuple(whole(f"an extent of {name}", extent, 0, LARGEST_EXTENT) for extent in extents)
    raise refuse(codes.BAD_OPTION, f"the shape of {name} must be a tuple of whole numbers, not {shown(value)}")


def dtype_name(value: object) -> str:
    """The name of an element type: itself, `numpy.float32`, `numpy.dtype("float32")` or `torch.float32`."""
    name = value if isinstance(value, str) else getattr(value, "__name__", None) or getattr(value, "name", None)
    if isinstance(name, str):
        return name
    if str(value).startswith("torch."):
        return str(value).removeprefix("torch.")
    raise refuse(codes.BAD_OPTION, f'a dtype must be a name such as "float32", not {shown(value)}')
