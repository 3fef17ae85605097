"""Pooling and what undoes it."""

from __future__ import annotations

from dataclasses import dataclass

from netdsl.codegen.numpy.calls import Call, Name, Window
from netdsl.codegen.numpy.storage import last
from netdsl.ir.graph import Node
from netdsl.ops.pool import AdaptivePool, Pool, Unpool

COMBINE = {"max": ("np.maximum", "np.greater", "-np.inf"), "min": ("np.minimum", "np.less", "np.inf")}
"""How two elements become one, when the second is the better, and what loses against everything."""
WHOLE = {"max": "np.max", "min": "np.min", "avg": "np.mean"}


@dataclass(frozen=True)
class Counted:
    """Whether padding counts as positions under the window."""

    count_padding: bool


@dataclass(frozen=True)
class Axes:
    """Axes reduced, N counted, and kept with one element."""

    axis: tuple[int, ...]
    keepdims: bool


def pool(op: Pool, node: Node) -> Call:
    """A whole map is a reduction; otherwise the taps of the window are combined."""
    x, out = last(node.inputs[0]), last(node.outputs[0])
    shape = node.inputs[0].type.shape[1:]
    if op.kernel == shape and not any(op.padding) and not op.indices and all(d == 1 for d in op.dilation):
        return Call(WHOLE[op.function], (x,), (out,), Axes(tuple(range(1, len(shape) + 1)), keepdims=True))
    window = Window(op.kernel, op.stride, op.dilation, op.padding)
    if op.function == "avg":
        return Call("pool_average", (x,), (out,), Counted(op.count_pad), window, crew=True, tailed=True)
    combine, better, start = COMBINE[op.function]
    if op.indices:
        return Call("pool_indices", (Name(better), x), (out, last(node.outputs[1])), window=window)
    return Call("pool", (x, Name(combine), Name(start)), (out,), window=window, crew=True, tailed=True)


def adaptive_pool(op: AdaptivePool, node: Node) -> Call:
    """Windows of unequal extents."""
    return Call("pool_adaptive", (Name(WHOLE[op.function]), last(node.inputs[0])), (last(node.outputs[0]),))


def unpool(op: Unpool, node: Node) -> Call:
    """Values to their indices."""
    return Call("unpool", tuple(last(value) for value in node.inputs), (last(node.outputs[0]),))
