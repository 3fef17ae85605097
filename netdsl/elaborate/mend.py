"""The edit that mends a skip whose two sides differ."""

from __future__ import annotations

from collections.abc import Sequence

from netdsl.diagnostics import Label
from netdsl.ir.graph import Node
from netdsl.ops.base import Types
from netdsl.ops.linear import Fc
from netdsl.tensor import shape_text


def mend_skip(shortcut: tuple[int, ...], body: tuple[int, ...], nodes: Sequence[Node]) -> tuple[str, tuple[Label, ...]]:
    """A sentence that mends `skip`, and what the layers of its body do that it speaks of.

    shortcut, body  shapes of it and F(it), unequal; nodes are those of F.
    """
    if len(shortcut) == len(body) > 1 and shortcut[0] == body[0]:
        shrinking = [node for node in nodes if _shrinks_without_stride(node)]
        if shrinking and not any(_has_stride(node) for node in nodes):
            pads = {_padding(node) for node in shrinking}
            many = "each of these layers" if len(shrinking) > 1 else "this layer"
            edit = " or ".join(f"`p{pad}`" for pad in sorted(pads))
            return f"{edit} on {many} keeps {shape_text(shortcut[1:])}", tuple(
                Label(
                    node.span,
                    f"{shape_text(node.inputs[0].type.shape[1:])} becomes {shape_text(node.outputs[0].type.shape[1:])}",
                )
                for node in shrinking
                if node.span is not None
            )
    last = next((node for node in reversed(nodes) if isinstance(node.op, Fc)), None)
    if last is not None and last.span and last.outputs[0].type.shape == body and len(shortcut) == len(body):
        edit = f"`fc {shortcut[-1]}` on this layer keeps {shape_text(shortcut)}"
        return f"{edit}, or project the shortcut: `via {{ fc {body[-1]} }}`", (
            Label(last.span, f"this makes {shape_text(body)}"),
        )
    if len(shortcut) == len(body) > 1:
        strides = {-(-a // b) for a, b in zip(shortcut[1:], body[1:], strict=True)}
        stride = f" s{strides.pop()}" if len(strides) == 1 and strides != {1} else ""
        return f"project the shortcut: `skip {{ ... }} via {{ conv {body[0]} k1{stride} }}`", ()
    if len(shortcut) == len(body) == 1:
        return f"project the shortcut: `skip {{ ... }} via {{ fc {body[0]} }}`", ()
    return "give both sides the same shape, or project the shortcut with `via { ... }`", ()


def _has_stride(node: Node) -> bool:
    window = node.op.window(_operands(node))
    return window is not None and any(numerator != denominator for numerator, denominator in window.stride)


def _shrinks_without_stride(node: Node) -> bool:
    before, after = node.inputs[0].type.shape, node.outputs[0].type.shape
    window = node.op.window(_operands(node))
    if window is None or _has_stride(node) or len(before) != len(after):
        return False
    return any(b < a for a, b in zip(before[1:], after[1:], strict=True))


def _padding(node: Node) -> str:
    window = node.op.window(_operands(node))
    assert window is not None
    pads = [(extent - 1) // 2 for extent in window.extent]
    return str(pads[0]) if len(set(pads)) == 1 else "x".join(map(str, pads))


def _operands(node: Node) -> Types:
    return tuple(value.type for value in node.inputs if value.type.batch) or (node.inputs[0].type,)
