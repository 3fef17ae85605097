"""Recurrent layers as ONNX's own, whose gates stand in another order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netdsl.onnx.write.site import Site
from netdsl.ops.recurrent import Recurrence, Recurrent

ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}
"""Where ONNX's gates are among ours: i o f c of i f g o, z r h of r z n."""


def recurrent(op: Recurrent, at: Site, *inputs: str) -> tuple[str, ...]:
    """LSTM or GRU, steps in front."""
    x, *before = inputs[:-4]
    weight_ih, weight_hh, bias_ih, bias_hh = (_reordered(op.word, at, weight) for weight in inputs[-4:])
    y, *after = _run(op.word, op.reverse, op.out, at, (x, weight_ih, weight_hh, bias_ih, bias_hh), before)
    return (y, *(_end(at, state) for state in after)) if op.state else (y,)


def recurrence(op: Recurrence, at: Site, x: str, *others: str) -> tuple[str, ...]:
    """The same on products that are made: the weights of the input are the identity."""
    weight, bias = (_reordered(op.cell, at, at("Squeeze", name, at.ints("axis", [0]))) for name in others[:2])
    rows, out = at.types[1].shape
    same, zeros = _reordered(op.cell, at, at.reals("same", np.eye(rows))), at.reals("zeros", np.zeros(rows))
    y, *after = _run(op.cell, op.reverse, out, at, (x, same, weight, zeros, bias), others[2:])
    return (y, _end(at, after[1])) if op.cell == "lstm" else (y,)


def _reordered(cell: str, at: Site, weight: str) -> str:
    gates = at.several("Split", weight, outputs=len(ORDER[cell]), axis=0, num_outputs=len(ORDER[cell]))
    return at("Concat", *(gates[place] for place in ORDER[cell]), axis=0)


def _run(
    cell: str, reverse: bool, out: int, at: Site, parts: tuple[str, ...], before: Sequence[str]
) -> tuple[str, ...]:
    """All h, then the state after the last step, the one direction in front."""
    x, weight_ih, weight_hh, bias_ih, bias_hh = parts
    front = at.ints("front", [0])
    weights = [at("Unsqueeze", w, front) for w in (weight_ih, weight_hh, at("Concat", bias_ih, bias_hh, axis=0))]
    first = [at("Unsqueeze", state, front) for state in before]
    y, *after = at.several(
        cell.upper(),
        *(at("Transpose", x, perm=(1, 0, 2)), *weights, *(["", *first] if first else [])),
        outputs=3 if cell == "lstm" else 2,
        hidden_size=out,
        direction="reverse" if reverse else None,
        linear_before_reset=1 if cell == "gru" else None,
    )
    y = at("Transpose", at("Squeeze", y, at.ints("direction", [1])), perm=(1, 0, 2))
    return (y, *after)


def _end(at: Site, state: str) -> str:
    return at("Squeeze", state, at.ints("direction", [0]))
