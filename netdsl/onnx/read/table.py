"""The table from the operators of ONNX to their readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netdsl.onnx.read import (
    activation,
    choice,
    elementwise,
    gather,
    matmul,
    pad,
    pieces,
    pool,
    recurrent,
    reduce,
    regions,
    resize,
    shape,
    trigonometry,
)
from netdsl.onnx.read.call import Call

READERS: dict[str, Callable[[Call], Any]] = {
    **pool.READERS,
    **elementwise.READERS,
    **activation.READERS,
    **trigonometry.READERS,
    **reduce.READERS,
    **matmul.READERS,
    **shape.READERS,
    **pieces.READERS,
    **gather.READERS,
    **choice.READERS,
    **pad.READERS,
    **resize.READERS,
    **regions.READERS,
    **recurrent.READERS,
}
"""What an operator of ONNX becomes; `fold` computes those whose operands are all known."""
