"""Matrix products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from netdsl.onnx.read.align import align, apart, join, regrouped, spread, together
from netdsl.onnx.read.call import Call, Operand, as_view
from netdsl.onnx.read.functions import scaled, short
from netdsl.onnx.read.net import Net
from netdsl.onnx.read.reduce import reduced
from netdsl.onnx.read.values import BATCH, Known, Unreadable, View, plain_view
from netdsl.ops.elementwise import Add
from netdsl.ops.linear import Fc, MatMul
from netdsl.ops.reduce import Sum


def connected(net: Net, view: View, weights: tuple[Known, ...]) -> View:
    """A fully connected layer over the last ONNX axis; the first weight is `out x in`."""
    if BATCH in view.axes[-1]:
        raise Unreadable("it multiplies along the batch")
    op = Fc(weights[0].array.shape[0], bias=len(weights) > 1)
    parted, frame = apart(view)
    value, place = net.plain(parted)
    return together(plain_view(net.one(op, value, weights=weights), place), frame)


def transposed(known: Known) -> Known:
    """A matrix with its axes swapped, called as before, or as before it was swapped first."""
    array = known.fixed("a weight")
    name = known.name.removesuffix(".transpose")
    return replace(known, array=np.ascontiguousarray(np.swapaxes(array, -1, -2)), name=name)


def matmul(call: Call) -> View:
    """Of the last two axes; by a constant matrix, a fully connected layer."""
    a, b = call.operand(0), call.operand(1)
    if isinstance(b, Known) and b.array.ndim == 2 and isinstance(a, View) and a.rank > 1 and BATCH not in a.axes[-1]:
        return connected(call.net, a, (transposed(b),))
    return product(call.net, a, b)


def product(net: Net, a: Operand, b: Operand) -> View:
    """`... x M x K` times `... x K x N`, axes before them spread over each other as in NumPy."""
    lone = (_rank(a) == 1, _rank(b) == 1)
    views = [as_view(net, a), as_view(net, b)]
    if lone[0]:
        views[0] = replace(views[0], axes=((), *views[0].axes))
    if lone[1]:
        views[1] = replace(views[1], axes=(*views[1].axes, ()))
    result = _stacked(net, views[0], views[1])
    if lone[1]:
        result = replace(result, axes=result.axes[:-1])
    if lone[0]:
        result = replace(result, axes=(*result.axes[: -1 if lone[1] else -2], *(() if lone[1] else result.axes[-1:])))
    return result


def _stacked(net: Net, a: View, b: View) -> View:
    rank = max(a.rank, b.rank)
    a, b = (replace(view, axes=((),) * (rank - view.rank) + view.axes) for view in (a, b))
    for view in (a, b):
        if any(BATCH in axis for axis in view.axes[-2:]):
            raise Unreadable("it multiplies along the batch")
    # The stacks are spread over each other where they differ.
    first = net.batches[0]
    whole = [max(m, n) for m, n in zip(a.shape(first)[:-2], b.shape(first)[:-2], strict=True)]
    a = spread(net, a, (*_per_sample(a, b, whole), *a.shape(first)[-2:]))
    b = spread(net, b, (*_per_sample(b, a, whole), *b.shape(first)[-2:]))
    swapped = _lies_transposed(net, b)
    if swapped:
        b = b.transposed((*range(rank - 2), rank - 1, rank - 2))
    (left, right), frame = align(net, (a, b), rank)
    return frame.view(net.one(MatMul(transpose_b=swapped), left, right))


def _per_sample(view: View, other: View, extents: list[int]) -> list[int]:
    """The extents that a stack is spread to, 1 along the batch, which neither gets a copy of."""
    result = []
    for axis, extent in enumerate(extents):
        mixed = BATCH in view.axes[axis] or BATCH in other.axes[axis]
        result.append(view.per_sample(axis) if mixed else extent)
    return result


def _lies_transposed(net: Net, view: View) -> bool:
    """Whether the tensor lies in memory with its last two axes swapped, so that it need not be moved."""
    straight = [atom for axis in view.axes for atom in axis if atom != BATCH and view.atoms[atom] > 1]
    last, before = view.axes[-1], view.axes[-2]
    swapped = [atom for axis in (*view.axes[:-2], last, before) for atom in axis if atom != BATCH]
    swapped = [atom for atom in swapped if view.atoms[atom] > 1]
    return straight != sorted(straight) and swapped == sorted(swapped)


def gemm(call: Call) -> View:
    """alpha A B + beta C."""
    alpha, beta = short(call.number("alpha", 1.0)), short(call.number("beta", 1.0))
    a, b = call.operand(0), call.operand(1)
    c = call.operand(2) if call.has(2) and beta != 0 else None
    if call.whole("transA", 0):
        a = transposed(a) if isinstance(a, Known) else a.transposed((1, 0))
    flip = bool(call.whole("transB", 0))
    if isinstance(b, Known) and isinstance(a, View) and a.rank == 2 and b.array.ndim == 2:
        weight = b if flip else transposed(b)
        if alpha != 1:
            weight = replace(weight, array=weight.array * np.float32(alpha))
        count = weight.array.shape[0]
        if isinstance(c, Known) and c.other is None and c.array.shape in ((), (1,), (count,), (1, 1), (1, count)):
            bias = np.broadcast_to(c.array.reshape(-1) * np.float32(beta), (count,))
            return connected(call.net, a, (weight, replace(c, array=bias)))
        result = connected(call.net, a, (weight,))
    else:
        if flip:
            b = transposed(b) if isinstance(b, Known) else b.transposed((1, 0))
        result = scaled(call.net, product(call.net, a, b), alpha)
    if c is None:
        return result
    if isinstance(c, View):
        return join(call.net, Add(), (result, scaled(call.net, c, beta)))
    return join(call.net, Add(), (result, replace(c, array=c.array * np.float32(beta))))


def einsum(call: Call) -> View:
    """A product of two tensors, or a rearranged one: letters of both are stacks if the result has them, else sums."""
    text = call.text("equation", "").replace(" ", "")
    left, arrow, result = text.partition("->")
    terms = left.split(",")
    views = [call.view(index) for index in range(len(call.operands))]
    letters = [set(term) for term in terms]
    plain = all(len(a) == len(term) == view.rank for a, term, view in zip(letters, terms, views, strict=True))
    if "." in text or not arrow or not plain or len(terms) > 2 or set(result) - set().union(*letters):
        raise Unreadable(f"the equation `{text[:60]}` is not read")
    ones = [
        _summed(call.net, view, term, "".join(letters[1 - i] if len(terms) == 2 else set()) + result)
        for i, (view, term) in enumerate(zip(views, terms, strict=True))
    ]
    if len(ones) == 1:
        ((view, term),) = ones
        return view.transposed([term.index(letter) for letter in result])
    (a, first), (b, second) = ones
    stack = [letter for letter in first if letter in second and letter in result]
    inner = [letter for letter in first if letter in second and letter not in result]
    rows, columns = ([letter for letter in term if letter not in stack + inner] for term in (first, second))
    ready = [
        _grouped(view, term, stack, group)
        for view, term, group in ((a, first, (rows, inner)), (b, second, (inner, columns)))
    ]
    found = _stacked(call.net, *ready)
    order = [*stack, *rows, *columns]
    targets = [
        tuple(
            (a.shape(batch)[first.index(letter)] if letter in first else b.shape(batch)[second.index(letter)])
            for letter in order
        )
        for batch in call.net.batches
    ]
    return regrouped(call.net, found, targets).transposed([order.index(letter) for letter in result])


def _summed(net: Net, view: View, term: str, kept: str) -> tuple[View, str]:
    """Without the axes that nothing else names, which are summed over."""
    axes = tuple(index for index, letter in enumerate(term) if letter not in kept)
    if not axes:
        return view, term
    return reduced(net, view, Sum(), axes, False), "".join(letter for letter in term if letter in kept)


def _grouped(view: View, term: str, stack: list[str], groups: tuple[list[str], list[str]]) -> View:
    """The stack's axes, then each group of axes as one."""
    axes = [view.axes[term.index(letter)] for letter in stack]
    axes += [tuple(atom for letter in group for atom in view.axes[term.index(letter)]) for group in groups]
    return replace(view, axes=tuple(axes))


def _rank(operand: Operand) -> int:
    return operand.rank if isinstance(operand, View) else operand.array.ndim


READERS: dict[str, Callable[[Call], View]] = {"MatMul": matmul, "Gemm": gemm, "Einsum": einsum}
