"""What a `.net` text says about an operator: attributes that do not follow from its operands, in short forms."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from netdsl.ir.graph import Node
from netdsl.ops.base import Attr, AttrKind, Op, ShapeError, Types
from netdsl.ops.conv import Conv
from netdsl.ops.maps import Upsample
from netdsl.ops.pool import AdaptivePool, Pool
from netdsl.ops.window import same_padding


class Spelling(NamedTuple):
    """One operator as a text writes it.

    op        the class whose word is written.
    settings  the flags and words that stand in every text for it.
    values    the values of its other attributes, as a text writes them: a number, or a tuple of one for each axis.
    needed    those of them that cannot be left out.
    same      whether `same` says the padding.
    """

    op: type[Op]
    settings: tuple[tuple[str, Any], ...]
    values: dict[str, Any]
    needed: frozenset[str]
    same: bool


@lru_cache(maxsize=2**15)
def spelling(node: Node) -> Spelling:
    """How a node's operator is written for its operands. Asked for many times a node, so remembered by node too."""
    return _spelling(node.op, tuple([value.type for value in node.operands]))


@lru_cache(maxsize=4096)
def _spelling(op: Op, inputs: Types) -> Spelling:
    resolved = op
    if isinstance(op, AdaptivePool):
        op = Pool(op.function, to=op.size)
    elif isinstance(op, Pool):
        op = _whole(op, inputs)
    elif isinstance(op, Upsample):
        op = _scaled(op, inputs)
    settings: list[tuple[str, Any]] = []
    values: dict[str, Any] = {}
    needed = set()
    for item in op.schema():
        value = getattr(op, item.name)
        if item.kind in (AttrKind.FLAG, AttrKind.WORD):
            if item.required or value != item.default:
                settings.append((item.name, value))
            continue
        if item.implied or value == ():
            continue
        values[item.name] = _short(item, value)
        if item.required or not _follows(op, item, inputs, resolved):
            needed.add(item.name)
    return Spelling(type(op), tuple(settings), values, frozenset(needed), _is_same(op))


def _whole(op: Pool, inputs: Types) -> Pool:
    """The pool, called global where its one window is all of the map."""
    if op.kernel == inputs[0].shape[1:]:
        whole = replace(op, whole=True, kernel=(), stride=())
        if _resolves(whole, inputs, op):
            return whole
    return op


def _scaled(op: Upsample, inputs: Types) -> Upsample:
    """The upsampling by a factor, where there is one."""
    factors = tuple([new // old for new, old in zip(op.to, inputs[0].shape[1:], strict=True)])
    scaled = replace(op, stride=factors, to=())
    return scaled if min(factors) > 0 and _resolves(scaled, inputs, op) else op


def _is_same(op: Op) -> bool:
    return isinstance(op, Conv) and op.padding == same_padding(op.kernel, op.dilation)


def _follows(op: Op, item: Attr, inputs: Types, resolved: Op) -> bool:
    """Whether the operator is the same without saying this attribute."""
    return _resolves(replace(op, **{item.name: item.default}), inputs, resolved)


def _resolves(op: Op, inputs: Types, resolved: Op) -> bool:
    least, most = op.wanted()
    if len(inputs) < least or (most is not None and len(inputs) > most):
        return False
    try:
        return op.resolve(inputs) == resolved
    except ShapeError:
        return False


def _short(item: Attr, value: Any) -> Any:
    """One number for equal axes, one for each axis where padding is the same at both ends."""
    if item.kind is AttrKind.AXES:
        if len(set(value)) == 1:
            return value[0]
        half = len(value) // 2
        if item.name == "padding" and len(value) == 4 and value[:half] == value[half:]:
            return value[:half]
    return value
