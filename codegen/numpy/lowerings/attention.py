"""Attention between projected sequences."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from netdsl.codegen.numpy.calls import Call
from netdsl.codegen.numpy.storage import View, first
from netdsl.ir.graph import Node, Value
from netdsl.ops.attention import Attend, parts

SCORES = 2**16
"""Scores that are held at once, as `attention.py.j2` has it: 256 KiB, which stay in cache."""


@dataclass(frozen=True)
class Scores:
    """How queries and keys are compared."""

    heads: int
    causal: bool
    scale: float


def attend(op: Attend, node: Node) -> Call:
    """A block of queries at a time, so that all scores are never there at once."""
    tensors, mask = parts(tuple([value.type for value in node.operands]))
    out = node.outputs[0]
    width, keys = out.type.shape[1], tensors[-1].shape[0]
    if len(tensors) == 1:
        q, k, v = (_columns(node.inputs[0], i * width, width) for i in range(3))
    else:
        q = first(node.inputs[0])
        k, v = (_columns(node.inputs[1], i * width, width) for i in range(2))
    masks = [first(node.inputs[-1]).then("[:, None]" if mask.rank == 1 else "")] if mask else []
    spec = Scores(op.heads, op.causal, 1 / sqrt(width // op.heads) if op.scaled else 1.0)
    scratch = max(SCORES // keys, 1) * (keys + width // op.heads)
    return Call("attention", (q, k, v, *masks), (first(out),), spec, crew=True, scratch=scratch, tailed=True)


def _columns(value: Value, start: int, count: int) -> View:
    return first(value).then(f"[..., {start}:{start + count}]")
