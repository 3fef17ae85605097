"""`netdsl demo`: the README's main job."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from netdsl import files
from netdsl.cli import common

SHOWN = 8


def main(arguments: list[str]) -> int:
    """Read the test split of handwritten digits through a freshly generated module and show the result."""
    parser = common.Parser(
        "demo",
        "Compile examples/digits.net to a NumPy module, read 360 handwritten digits that training never saw, and show "
        "them with what was read.",
    )
    parser.add_argument("-o", dest="folder", metavar="FOLDER", help="where the files go (default: a new temporary one)")
    parser.add_argument("--force", action="store_true", help="replace files that netdsl did not write")
    options = parser.parse(arguments)
    return common.run(options, lambda _: _demo(options))


def _demo(options: argparse.Namespace) -> int:
    import numpy as np

    from netdsl import demo

    folder = Path(options.folder or tempfile.mkdtemp(prefix="netdsl-demo-"))
    files.make_folder(str(folder))
    reading = demo.read_digits(folder, options.force)
    sheet = demo.write_sheet(reading, folder, options.force)

    count, right = len(reading.labels), int(reading.right.sum())
    wrong = np.flatnonzero(~reading.right)
    colour = common.colours(sys.stdout) and _has_blocks()
    shown = f"The first {SHOWN} of {count} test images, each above what was read:\n\n"
    shown += demo.pictures(reading, np.arange(SHOWN), colour)
    if len(wrong):
        shown += "Mistakes:\n\n" + demo.pictures(reading, wrong, colour)
    sys.stdout.write(f"{shown}accuracy: {right / count:.2%} ({right} of {count})\n")
    common.say(f"module: {folder / 'digits.py'}")
    common.say(f"all images: {sheet}")
    common.say(
        f"next: {common.program('python')} {folder / 'digits.py'} --weights {folder / 'digits.safetensors'} --bench"
    )
    return common.DONE


def _has_blocks() -> bool:
    try:
        "\u2580".encode(sys.stdout.encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True
