"""From the bytes of a `.net` file to its text."""

from __future__ import annotations

from netdsl import codes
from netdsl.diagnostics import Code, Diagnostic, Label, Report
from netdsl.limits import DEFAULT_LIMITS, Limits
from netdsl.source import Source, Span

_BYTE_ORDER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def decode(
    data: bytes, name: str, report: Report, limits: Limits = DEFAULT_LIMITS, use: Label | None = None
) -> Source | None:
    """The text of a file called `name`, or None after reporting what it is instead of text; `use` asked for it.

    UTF-8, with or without a byte order mark. Line ends become `\\n`, so that offsets and columns count what is seen.
    Refuses files above the size limit (E0901), other encodings and NUL characters (E0102).
    """
    if len(data) > limits.file_bytes:
        limit = f"{limits.file_bytes} bytes"
        report.add(Diagnostic(codes.FILE_TOO_LARGE, f"{name} is larger than {limit}, which is the limit", use))
        return None
    if data[:2] in _BYTE_ORDER_MARKS:
        _refuse(report, name, "", f"this file is in {_BYTE_ORDER_MARKS[data[:2]]}, not in UTF-8")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        _refuse(report, name, before, f"byte 0x{data[error.start]:02X} is not UTF-8; it may be Latin-1")
        return None
    nul = text.find("\0")
    if nul >= 0:
        _refuse(report, name, text[:nul], "a NUL character (U+0000): this is not a text file")
        return None
    return Source(name, text.replace("\r\n", "\n").replace("\r", "\n"))


def _refuse(report: Report, name: str, before: str, message: str, code: Code = codes.NOT_TEXT) -> None:
    """The source that is quoted ends where the text does."""
    source = Source(name, before.replace("\r\n", "\n").replace("\r", "\n"))
    end = len(source.text)
    report.add(Diagnostic(code, message, Label(Span(source, end, end)), help="save the file as UTF-8"))
