"""What operators refuse and what they warn of: with a sentence, whatever stands in their attributes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from pace import within

from netdsl.ops import ALL, activation, conv, elementwise, linear, maps, noise, norm, pool, shape, window
from netdsl.ops.base import Attr, AttrKind, Op, ShapeError, Types, feature_map
from netdsl.tensor import DType, TensorType

IMAGE = feature_map(8, 5, 7)


@settings(max_examples=300, deadline=None)
@given(*[st.integers(1, 12)] * 2, *[st.integers(0, 3)] * 2, *[st.integers(1, 4)] * 2)
def test_elements_that_no_window_reads(
    length: int, kernel: int, before: int, after: int, stride: int, dilation: int
) -> None:
    """Counted by marking what lies under a window; what only a gap between windows passes over does not count."""
    span = window.extent(kernel, dilation)
    count = window.output_length(length, kernel, stride, before, after, dilation)
    if count < 1:
        return
    positions = range(-before, length + after)
    starts = list(positions[::stride])
    under = {start + i for start in starts[:count] for i in range(span)}
    behind = [i for i in range(length) if i > max(under)]
    cut_off = count < len(starts)
    assert window.unread(length, kernel, stride, before, after, dilation) == (len(behind) if cut_off else 0)


@pytest.mark.parametrize(
    ("op", "shape", "found"),
    [
        (conv.Conv(4, (3,), (3,)), (3, 7, 9), "the last row of 7x9 is never read"),
        (conv.Conv(4, (5,), (4,)), (3, 8, 9), "the last 3 rows of 8x9 are never read"),
        (pool.Pool("max", (2,)), (3, 7, 9), "the last row and the last column of 7x9 are never read"),
        (pool.Pool("avg", (3,), padding=(1, 0)), (3, 8, 4), "the last column of 8x4 is never read"),
        (conv.Conv(4, (3,), (4,)), (3, 9), "the last 2 elements of 9 are never read"),
        (conv.Conv(4, (1,), (2,)), (3, 8, 8), None),
        (conv.Conv(64, (7,), (2,), (3,)), (3, 224, 224), None),
        (pool.Pool("max", (2,), ceil=True), (3, 7, 9), None),
        (pool.Pool("max", to=(3,)), (3, 7, 9), None),
        (pool.Pool("max", whole=True), (3, 7, 9), None),
    ],
)
def test_windows_that_do_not_fit(op: Op, shape: tuple[int, ...], found: str | None) -> None:
    expected = (("W0001", f"the window does not fit: {found}"),) if found else ()
    assert op.remarks((TensorType(shape),)) == expected


@pytest.mark.parametrize("op", [conv.Conv(4, (3, 2), same=True), pool.Pool("max", (3, 2), (1,), same=True)])
def test_even_windows_with_same(op: Op) -> None:
    ((code, sentence),) = op.remarks((IMAGE,))
    assert (code, sentence) == ("W0002", "`same` with a window of 2 pads one element more at the end than at the start")
    assert op.resolve((IMAGE,)).remarks((IMAGE,)) == (), "what is written out is meant"


def test_fully_connected_layers_on_maps() -> None:
    ((code, _),) = linear.Fc(10).remarks((IMAGE,))
    assert code == "W0008"
    assert linear.Fc(10).remarks((TensorType((7, 5)),)) == ()


HUGE = st.sampled_from([2**31, 2**63, 10**30, 10**400])
ANY_INT = st.integers(-3, 9) | HUGE | HUGE.map(lambda number: -number)
ANY_FLOAT = st.floats(allow_nan=False, allow_infinity=False)


def any_value(item: Attr) -> SearchStrategy[Any]:
    match item.kind:
        case AttrKind.INT:
            return ANY_INT
        case AttrKind.FLOAT:
            return ANY_FLOAT | st.sampled_from([0.0, -1.0, 1.0])
        case AttrKind.FLAG:
            return st.booleans()
        case AttrKind.WORD:
            return st.sampled_from(item.choices)
        case _:
            return st.lists(ANY_INT, max_size=5).map(tuple)


@st.composite
def any_use(draw: DrawFn, kind: type[Op]) -> tuple[Op, Types]:
    """An operator with anything at all in its attributes, on as many operands of any shape as it wants."""
    sample = draw(st.sampled_from(kind.samples()))
    changed = draw(st.sets(st.sampled_from([item.name for item in kind.schema()]))) if kind.schema() else set()
    values = {item.name: draw(any_value(item)) for item in kind.schema() if item.name in changed}
    op = kind(**{item.name: getattr(sample.op, item.name) for item in kind.schema()} | values)
    shapes = st.lists(st.integers(1, 9) | HUGE, max_size=5).map(tuple)
    least, most = op.wanted()
    fits = least <= len(sample.inputs) <= (most or len(sample.inputs))
    if fits and draw(st.booleans()):
        return op, sample.inputs
    types = st.builds(TensorType, shapes, st.sampled_from([DType.FLOAT32, DType.INT64]), st.sampled_from([0, 1, 7]))
    return op, tuple(draw(st.lists(types, min_size=least, max_size=least)))


def accepted(op: Op, types: Types) -> tuple[Op | None, Types]:
    """The resolved operator and its results; None where it refuses its operands."""
    try:
        resolved = op.resolve(types)
        return resolved, resolved.infer(types)
    except ShapeError:
        return None, ()


@pytest.mark.parametrize("kind", ALL)
@settings(max_examples=60)
@given(st.data())
def test_whatever_is_written_gives_a_shape_or_a_shape_error(kind: type[Op], data: st.DataObject) -> None:
    """Never another exception, never a loop over something huge; results have no empty axes, counts are exact."""
    op, types = data.draw(any_use(kind))
    with within(2):
        resolved, results = accepted(op, types)
        if resolved is None:
            return
        assert all(extent >= 1 for result in results for extent in result.shape)
        assert all(extent >= 1 for weight in resolved.weights(types) for extent in weight.shape)
        macs, flops = resolved.cost(types, results)
        assert type(macs) is type(flops) is int
        assert 0 <= 2 * macs <= flops
        resolved.window(types)
        assert all(code.startswith("W0") for code, _ in op.remarks(types))
        assert resolved.resolve(types) == resolved


def bad(kind: Callable[..., Op], *cases: dict[str, Any]) -> Sequence[tuple[Callable[..., Op], dict[str, Any]]]:
    return [(kind, case) for case in cases]


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        *bad(conv.Conv, {"out": 0, "kernel": (3,)}, {"out": 4, "kernel": (0,)}, {"out": 4, "kernel": (3, 3, 3)}),
        *bad(conv.Conv, *({"out": 4, "kernel": (3,), **more} for more in ({"stride": (0,)}, {"padding": (-1,)}))),
        *bad(conv.Conv, *({"out": 4, "kernel": (3,), **more} for more in ({"dilation": (0,)}, {"groups": 0}))),
        *bad(conv.Conv, *({"out": 4, "kernel": (3,), **more} for more in ({"groups": 3}, {"groups": -2}))),
        *bad(conv.Conv, {"out": 4, "kernel": (3,), "same": True, "padding": (1,)}),
        *bad(conv.UpConv, {"out": 4, "kernel": (2,), "stride": (2,), "outpad": (2,)}),
        *bad(pool.Pool, *({"function": "max", **more} for more in ({}, {"kernel": (2,), "whole": True}))),
        *bad(pool.Pool, {"function": "max", "kernel": (3,), "padding": (2,)}),
        *bad(pool.Pool, {"function": "avg", "kernel": (2,), "indices": True}, {"function": "avg", "to": (0,)}),
        *bad(noise.Dropout, {"p": -0.1}, {"p": 1.0}, {"p": 2.0}),
        *bad(noise.DropPath, {"p": -0.1}, {"p": 1.0}),
        *bad(norm.LRN, {"size": 0}),
        *bad(norm.BatchNorm, {"eps": 0.0}, {"eps": -1e-5}),
        *bad(norm.LayerNorm, {"axis": 3}, {"axis": -4}, {"eps": 0.0}),
        *bad(norm.GroupNorm, {"groups": 0}, {"groups": 5}),
        *bad(shape.Reshape, {"to": (7,)}, {"to": (-1, -1)}, {"to": (0,)}),
        *bad(maps.Pad, {"padding": (-1,)}, {"padding": (9,), "mode": "reflect"}),
        *bad(maps.Upsample, {}, {"stride": (2,), "to": (8, 8)}, {"stride": (0,)}, {"stride": (2,), "corners": True}),
        *bad(elementwise.Div, {"eps": -1.0}),
        *bad(activation.Clamp, {"low": 1.0, "high": 0.0}),
    ],
)
def test_bad_attributes_are_refused(kind: Callable[..., Op], attributes: dict[str, Any]) -> None:
    op = kind(**attributes)
    operands = (IMAGE,) * op.wanted()[0]
    with pytest.raises(ShapeError):
        op.resolve(operands).infer(operands)


def test_a_window_that_does_not_fit_names_the_padding_that_mends_it() -> None:
    operand = (feature_map(3, 4, 9),)
    with pytest.raises(ShapeError) as refused:
        conv.Conv(4, (7,)).resolve(operand).infer(operand)
    assert refused.value.help == "pad it: `p2` makes it fit"
    mended = conv.Conv(4, (7,), padding=(2,)).resolve(operand)
    assert mended.infer(operand)[0].shape == (4, 2, 7)
