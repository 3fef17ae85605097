"""Reading and writing whole files. Nothing else in netdsl opens a file for writing."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import BinaryIO

from netdsl import codes
from netdsl.diagnostics import Code, Diagnostic, NetError

Buffer = bytes | memoryview

STDIN = "-"
LOOKED_AT = 2**26
"""Bytes of an existing file that are read to see whether it may be replaced."""

Objection = Callable[[bytes], str | None]
"""Why a file with this content must stay, or None where it may be replaced."""


def foreign(_: bytes) -> str:
    """The objection to replacing any existing file."""
    return "netdsl did not generate it"


def maybe_trained(_: bytes) -> str:
    """The objection to replacing any file of weights."""
    return "it may hold trained weights"


def refuse(code: Code, message: str, help: str | None = None) -> NetError:
    """A mistake that has no place in a text, ready to be raised."""
    return NetError([Diagnostic(code, message, help=help)])


def read(path: str, most: int) -> bytes:
    """The bytes of a file, or of standard input for `-`; at most `most + 1` of them, so that a caller sees the excess.

    Raises NetError (E0601) where it cannot be read, or where it is no ordinary file.
    """
    if path == STDIN and sys.stdin is None:
        raise refuse(codes.CANNOT_READ, "cannot read standard input: it is closed")
    try:
        if path == STDIN:
            return sys.stdin.buffer.read(most + 1)
        with opened(path) as file:
            return file.read(most + 1)
    except (OSError, ValueError) as error:
        what = "standard input" if path == STDIN else path
        raise refuse(codes.CANNOT_READ, f"cannot read {what}: {reason(error)}") from None


def opened(path: str) -> BinaryIO:
    """A file, open for reading. Raises OSError or ValueError, as reading does, where it is no ordinary file.

    A pipe or a device is refused before it is opened: either might wait for ever, or never end.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise ValueError(f"it is {kind(mode)}, not an ordinary file")
    return open(path, "rb")


def kind(mode: int) -> str:
    """What a file that is not an ordinary one is, by its mode."""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def write(path: str, data: bytes | Iterable[Buffer], *, objection: Objection, force: bool = False) -> None:
    """Write a file whole or not at all: a temporary file beside it, which then takes its name. `data` may be in parts.

    An existing file is replaced only where `objection` has none to its content, or with `force` (E0610 otherwise).
    Links are followed; a device or a pipe is written directly. Raises NetError (E0602) on failure.
    """
    check_free(path, objection=objection, force=force)
    parts = (data,) if isinstance(data, bytes) else data
    try:
        target = os.path.realpath(path)
        mode = os.stat(target).st_mode if os.path.lexists(target) else None
        if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            with open(target, "wb") as device:
                device.writelines(parts)
            return
        _replace(target, parts, stat.S_IMODE(mode) if mode is not None else None)
    except (OSError, ValueError) as error:
        raise refuse(codes.CANNOT_WRITE, f"cannot write {path}: {reason(error)}") from None


def check_free(path: str, *, objection: Objection, force: bool = False) -> None:
    """Refuse, before any work, what `write` would refuse: a file that must stay (E0610), a folder (E0602)."""
    if os.path.isdir(path):
        raise refuse(codes.CANNOT_WRITE, f"cannot write {path}: it is a folder")
    if force or not os.path.isfile(path):
        return
    why = objection(read(path, LOOKED_AT))
    if why:
        help = "choose another name, or replace it with `--force` (in Python, `force=True`)"
        raise refuse(codes.WOULD_OVERWRITE, f"{path} exists, and {why}", help)


def check_apart(path: str, *inputs: str) -> None:
    """Refuse (E0615) an output that is one of the inputs of the same command, whatever may be overwritten."""
    for name in inputs:
        with suppress(OSError, ValueError):
            if os.path.samefile(path, name):
                raise refuse(codes.BAD_OPTION, f"{path} is the input of this command", "choose another name with `-o`")


def make_folder(path: str) -> None:
    """Make a folder and those above it, if it is not there. Raises NetError (E0602)."""
    try:
        os.makedirs(path, exist_ok=True)
    except (OSError, ValueError) as error:
        raise refuse(codes.CANNOT_WRITE, f"cannot make the folder {path}: {reason(error)}") from None


def _replace(target: str, parts: Iterable[Buffer], mode: int | None) -> None:
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name[:100]}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def reason(error: Exception) -> str:
    """Why something failed, in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error)
