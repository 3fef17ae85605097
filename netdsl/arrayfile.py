"""Reading the inputs that users give: `.npy` files, their headers checked before anything is allocated, and PNGs."""

from __future__ import annotations

from math import prod
from os import fstat
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from netdsl import codes
from netdsl.files import opened, reason, refuse
from netdsl.images import read_png
from netdsl.tensor import TensorType

Array = NDArray[Any]

PNG_BYTES = 2**28
"""Longest picture file that is read."""


def read_input(path: str, wanted: TensorType) -> Array:
    """An input from a file: what a `.npy` holds, or one sample from a PNG of exactly the wanted size, divided by 255.

    Raises NetError: E0601 (cannot be read, is not what its name says), E0605 and E0607 (a picture that does not fit).
    """
    try:
        with opened(path) as file:
            if path.lower().endswith(".png"):
                return read_png(file.read(PNG_BYTES), path, wanted.shape)
            return _npy(file)
    except (OSError, ValueError) as error:
        raise refuse(codes.CANNOT_READ, f"cannot read {path}: {reason(error).splitlines()[0]}") from None


def _npy(file: BinaryIO) -> Array:
    start = file.read(6)
    if len(start) == 6 and start != np.lib.format.MAGIC_PREFIX:
        archive = start.startswith(b"PK\3\4")
        raise ValueError(
            f"it is no .npy file{', but an archive of several: save one array' if archive else ' and no .png'}"
        )
    file.seek(0)
    version = np.lib.format.read_magic(file)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(
        version
    )
    if read_header is None:
        raise ValueError(f"it is of version {version[0]}.{version[1]} of the format; 1.0 and 2.0 are read")
    shape, _, dtype = read_header(file)
    if dtype.hasobject or dtype.names:
        raise ValueError("it holds Python objects or records, not numbers")
    needed, there = prod(shape) * dtype.itemsize, fstat(file.fileno()).st_size - file.tell()
    if needed != there:
        raise ValueError(f"its header announces {needed} bytes of numbers, but {there} follow")
    file.seek(0)
    array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array
