"""Shape rules against PyTorch, which computes the shapes of tensors without elements (`device="meta"`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from netdsl.ops import activation, conv, elementwise, linear, maps, norm, pieces, pool, reduce, shape, window
from netdsl.ops.base import Op, ShapeError
from netdsl.tensor import DType, TensorType

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
functional = torch.nn.functional
pytestmark = pytest.mark.torch

Shape = tuple[int, ...]
EXAMPLES = settings(max_examples=150, deadline=None)


def meta(*extents: int) -> Any:
    return torch.empty(extents, device="meta")


def ours(op: Op, *inputs: Shape | TensorType) -> list[Shape] | None:
    """The shapes of the results; None where the operator refuses its operands."""
    types = tuple(item if isinstance(item, TensorType) else TensorType(item) for item in inputs)
    try:
        return [result.shape for result in op.resolve(types).infer(types)]
    except ShapeError:
        return None


def theirs(function: Callable[..., Any], *arguments: Any, **options: Any) -> list[Shape] | None:
    """The shapes that PyTorch gives, without N; None where it refuses, or nothing is left."""
    try:
        result = function(*arguments, **options)
    except (RuntimeError, ValueError, IndexError):
        return None
    results = result if isinstance(result, tuple | list) else (result,)
    shapes = [tuple(item.shape[1:]) for item in results]
    return None if any(0 in shape for shape in shapes) else shapes


def per_axis(values: SearchStrategy[int], rank: int) -> SearchStrategy[Shape]:
    return st.tuples(*[values] * rank)


@st.composite
def map_shapes(draw: DrawFn, rank: int | None = None, most: int = 12) -> Shape:
    axes = rank or draw(st.sampled_from([1, 2]))
    return (draw(st.integers(1, 4)), *draw(per_axis(st.integers(1, most), axes)))


small = st.integers(1, 4)


@EXAMPLES
@given(st.data())
def test_convolution(data: st.DataObject) -> None:
    rank = data.draw(st.sampled_from([1, 2]))
    groups, inside, outside = data.draw(st.tuples(small, small, small))
    x = (groups * inside, *data.draw(per_axis(st.integers(1, 12), rank)))
    kernel, stride, dilation = (data.draw(per_axis(small, rank)) for _ in range(3))
    padding = data.draw(per_axis(st.integers(0, 4), rank))
    op = conv.Conv(groups * outside, kernel, stride, padding, dilation, groups)
    function = (functional.conv1d, functional.conv2d)[rank - 1]
    weight = meta(groups * outside, inside, *kernel)
    assert ours(op, x) == theirs(function, meta(1, *x), weight, None, stride, padding, dilation, groups)


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@EXAMPLES
@given(st.data())
def test_convolution_same(data: st.DataObject) -> None:
    """PyTorch has `same` for stride 1 alone; ours keeps that padding at every stride."""
    x = data.draw(map_shapes())
    rank = len(x) - 1
    kernel, dilation = data.draw(per_axis(small, rank)), data.draw(per_axis(small, rank))
    module = (torch.nn.Conv1d, torch.nn.Conv2d)[rank - 1]
    layer = module(x[0], 3, kernel, padding="same", dilation=dilation, device="meta")
    assert ours(conv.Conv(3, kernel, dilation=dilation, same=True), x) == theirs(layer, meta(1, *x)) == [(3, *x[1:])]
    # PyTorch keeps its padding in pairs, the last axis first.
    pairs = layer._reversed_padding_repeated_twice
    op = conv.Conv(3, kernel, dilation=dilation, same=True).resolve((TensorType(x),))
    assert [*op.padding[:rank]] == pairs[::2][::-1]
    assert [*op.padding[rank:]] == pairs[1::2][::-1]


@EXAMPLES
@given(st.data())
def test_transposed_convolution(data: st.DataObject) -> None:
    rank = data.draw(st.sampled_from([1, 2]))
    groups, inside, outside = data.draw(st.tuples(small, small, small))
    x = (groups * inside, *data.draw(per_axis(st.integers(1, 9), rank)))
    kernel, stride, dilation = (data.draw(per_axis(small, rank)) for _ in range(3))
    padding, outpad = (data.draw(per_axis(st.integers(0, 4), rank)) for _ in range(2))
    op = conv.UpConv(groups * outside, kernel, stride, padding, dilation, outpad, groups)
    function = (functional.conv_transpose1d, functional.conv_transpose2d)[rank - 1]
    weight = torch.zeros(groups * inside, outside, *kernel)  # without elements, `outpad` is not checked
    assert ours(op, x) == theirs(function, torch.zeros(1, *x), weight, None, stride, padding, outpad, groups, dilation)


@pytest.mark.parametrize("function", ["max", "avg"])
@EXAMPLES
@given(st.data())
def test_pool(function: str, data: st.DataObject) -> None:
    x = data.draw(map_shapes())
    rank = len(x) - 1
    kernel, stride = data.draw(per_axis(st.integers(1, 6), rank)), data.draw(st.none() | per_axis(small, rank))
    padding, ceil = data.draw(per_axis(st.integers(0, 3), rank)), data.draw(st.booleans())
    dilation = data.draw(per_axis(st.integers(1, 3), rank)) if function == "max" else (1,) * rank
    indices = function == "max" and data.draw(st.booleans())
    op = pool.Pool(function, kernel, stride or (), padding, dilation, ceil=ceil, indices=indices)
    pools = {
        "max": (functional.max_pool1d, functional.max_pool2d),
        "avg": (functional.avg_pool1d, functional.avg_pool2d),
    }
    options: dict[str, Any] = {"dilation": dilation, "return_indices": indices} if function == "max" else {}
    expected = theirs(pools[function][rank - 1], meta(1, *x), kernel, stride, padding, ceil_mode=ceil, **options)
    result = ours(op, x)
    if expected is None and result is not None:  # under wide dilation, PyTorch refuses the padding that keeps extents
        assert padding * 2 == window.same_padding(kernel, dilation)
        return
    assert result == expected


@EXAMPLES
@given(st.data())
def test_pool_to_extents(data: st.DataObject) -> None:
    x = data.draw(map_shapes())
    to = data.draw(per_axis(st.integers(1, 14), len(x) - 1))
    function = (functional.adaptive_avg_pool1d, functional.adaptive_avg_pool2d)[len(x) - 2]
    assert ours(pool.Pool("avg", to=to), x) == theirs(function, meta(1, *x), to)


@given(map_shapes())
def test_pool_of_the_whole_map(x: Shape) -> None:
    function = (functional.adaptive_max_pool1d, functional.adaptive_max_pool2d)[len(x) - 2]
    assert ours(pool.Pool("max", whole=True), x) == theirs(function, meta(1, *x), 1)


@EXAMPLES
@given(st.data())
def test_unpool(data: st.DataObject) -> None:
    """PyTorch has no meta kernel for it, so that it computes zeros here."""
    x = data.draw(map_shapes(most=5))
    rank = len(x) - 1
    kernel, stride = data.draw(per_axis(small, rank)), data.draw(per_axis(small, rank))
    padding = data.draw(per_axis(st.integers(0, 1), rank))
    to = data.draw(st.just(()) | per_axis(st.integers(1, 20), rank))
    function = (functional.max_unpool1d, functional.max_unpool2d)[rank - 1]
    zeros = torch.zeros(1, *x)
    expected = theirs(function, zeros, zeros.long(), kernel, stride, padding, list(to) or None)
    assert ours(pool.Unpool(kernel, stride, padding, to), x, TensorType(x, DType.INT64)) == expected


@EXAMPLES
@given(st.data())
def test_upsample(data: st.DataObject) -> None:
    x = data.draw(map_shapes())
    rank = len(x) - 1
    mode, corners = data.draw(st.sampled_from([("nearest", False), ("bilinear", False), ("bilinear", True)]))
    factor = data.draw(st.none() | per_axis(small, rank))
    to = data.draw(per_axis(st.integers(1, 20), rank)) if factor is None else None
    name = "linear" if mode == "bilinear" and rank == 1 else mode
    expected = theirs(
        functional.interpolate,
        meta(1, *x),
        to,
        tuple(map(float, factor)) if factor else None,
        name,
        corners if mode == "bilinear" else None,
    )
    assert ours(maps.Upsample(mode, factor or (), to or (), corners), x) == expected


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
@EXAMPLES
@given(st.data())
def test_pad(mode: str, data: st.DataObject) -> None:
    x = data.draw(map_shapes())
    rank = len(x) - 1
    starts, ends = (data.draw(per_axis(st.integers(0, 6), rank)) for _ in range(2))
    pairs = [side for axis in reversed(range(rank)) for side in (starts[axis], ends[axis])]
    expected = theirs(functional.pad, torch.zeros(1, *x), pairs, mode)
    assert ours(maps.Pad((*starts, *ends), mode=mode), x) == expected


@EXAMPLES
@given(st.data())
def test_crop_is_a_negative_pad(data: st.DataObject) -> None:
    x = data.draw(map_shapes())
    rank = len(x) - 1
    starts, ends = (data.draw(per_axis(st.integers(0, 6), rank)) for _ in range(2))
    pairs = [-side for axis in reversed(range(rank)) for side in (starts[axis], ends[axis])]
    expected = theirs(functional.pad, torch.zeros(1, *x), pairs)
    assert ours(maps.Crop(padding=(*starts, *ends)), x) == expected


@EXAMPLES
@given(st.data())
def test_crop_to_the_middle(data: st.DataObject) -> None:
    x = data.draw(map_shapes())
    to = data.draw(per_axis(st.integers(1, 12), len(x) - 1))
    fits = all(small <= large for small, large in zip(to, x[1:], strict=True))
    expected = [(x[0], *to)] if fits else None
    assert ours(maps.Crop(to=to), x) == ours(maps.Crop(), x, (7, *to)) == expected
    if fits:
        margins = maps.Crop(to=to).resolve((TensorType(x),)).padding
        assert all(0 <= end - start <= 1 for start, end in zip(margins[: len(to)], margins[len(to) :], strict=True))


tensors = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)
axes = st.integers(-5, 4)


def after_n(axis: int) -> int:
    """A sample's axis, which may be counted from the end, in a tensor with N in front."""
    return axis + 1 if axis >= 0 else axis


def refuses_n(x: Shape, *wanted: int) -> bool:
    """Whether an axis is none of the sample's; PyTorch would take N for one of them."""
    return any(not -len(x) <= axis < len(x) for axis in wanted)


@EXAMPLES
@given(tensors, st.integers(1, 7), axes)
def test_split(x: Shape, size: int, axis: int) -> None:
    expected = None if refuses_n(x, axis) else theirs(torch.split, meta(1, *x), size, after_n(axis))
    assert ours(pieces.Split(size, axis), x) == expected


@EXAMPLES
@given(tensors, st.integers(-8, 7), st.integers(-8, 8), axes, st.integers(1, 3))
def test_slice(x: Shape, start: int, stop: int, axis: int, step: int) -> None:
    """As Python slices, but what is past the end or empty is refused."""
    result = ours(pieces.Slice(start, stop, axis, step), x)
    if refuses_n(x, axis):
        assert result is None
        return
    places = range(x[axis])
    inside = -len(places) <= start < len(places) and -len(places) <= stop <= len(places)
    kept = len(places[start:stop:step])
    front = axis % len(x)
    assert result == ([(*x[:front], kept, *x[front + 1 :])] if inside and kept else None)


@EXAMPLES
@given(tensors, st.integers(-8, 7), axes)
def test_take(x: Shape, index: int, axis: int) -> None:
    expected = None if refuses_n(x, axis) else theirs(torch.select, meta(1, *x), after_n(axis), index)
    assert ours(pieces.Take(index, axis), x) == expected


@EXAMPLES
@given(tensors, st.lists(st.integers(-1, 12), min_size=1, max_size=4).map(tuple))
def test_reshape(x: Shape, to: Shape) -> None:
    expected = theirs(torch.reshape, meta(1, *x), (1, *to)) if 0 not in to else None
    assert ours(shape.Reshape(to), x) == expected


@EXAMPLES
@given(tensors, st.lists(axes, max_size=5).map(tuple))
def test_transpose(x: Shape, order: Shape) -> None:
    if order:
        expected = None if refuses_n(x, *order) else theirs(torch.permute, meta(1, *x), (0, *map(after_n, order)))
    else:
        expected = theirs(torch.transpose, meta(1, *x), -1, -2) if len(x) > 1 else None
    assert ours(shape.Transpose(order), x) == expected


@EXAMPLES
@given(tensors, st.lists(st.integers(1, 3), min_size=1, max_size=3), axes, st.booleans())
def test_concat(x: Shape, extents: list[int], axis: int, spoilt: bool) -> None:
    front = axis % len(x)
    parts = [x, *((*x[:front], extent, *x[front + 1 :]) for extent in extents)]
    if spoilt and len(x) > 1:
        parts[-1] = tuple(extent + (i == (front + 1) % len(x)) for i, extent in enumerate(parts[-1]))
    expected = None if refuses_n(x, axis) else theirs(torch.cat, [meta(1, *part) for part in parts], after_n(axis))
    assert ours(pieces.Concat(axis), *parts) == expected


@EXAMPLES
@given(st.data())
def test_joins(data: st.DataObject) -> None:
    """Equal numbers of axes spread as in PyTorch; of fewer axes, one element is all that is taken."""
    rank = data.draw(st.integers(0, 3))
    shapes = [data.draw(per_axis(st.sampled_from([1, 1, 3, 5]), rank)) for _ in range(data.draw(st.integers(2, 4)))]
    expected = theirs(torch.broadcast_tensors, *[meta(1, *x) for x in shapes])
    assert ours(elementwise.Add(), *shapes) == (expected[:1] if expected else None)
    assert ours(elementwise.Mul(), *shapes, ()) == (expected[:1] if expected else None)
    if rank:
        assert ours(elementwise.Maximum(), *shapes, (1,)) == (expected[:1] if expected else None)
        assert ours(elementwise.Minimum(), (2, *shapes[0]), (3,)) is None
        assert ours(elementwise.Minimum(), (3,), (1,) * (rank + 1)) is None


@EXAMPLES
@given(tensors, small)
def test_fully_connected(x: Shape, out: int) -> None:
    assert ours(linear.Fc(out), x) == theirs(functional.linear, meta(1, *x), meta(out, x[-1]))


@EXAMPLES
@given(st.data())
def test_matrix_product(data: st.DataObject) -> None:
    """As `torch.matmul`, but that the axes before the matrices are not spread."""
    extents = st.integers(1, 3)
    a, b = (data.draw(st.lists(extents, max_size=3).map(tuple)) for _ in range(2))
    swap_a, swap_b = data.draw(st.booleans()), data.draw(st.booleans())
    expected = None
    if len(a) == len(b) > 1 and a[:-2] == b[:-2]:
        left, right = meta(1, *a), meta(1, *b)
        expected = theirs(torch.matmul, left.mT if swap_a else left, right.mT if swap_b else right)
    assert ours(linear.MatMul(swap_a, swap_b), a, b) == expected


@pytest.mark.parametrize(
    ("kind", "function"),
    [(reduce.Mean, "mean"), (reduce.Sum, "sum"), (reduce.Largest, "amax"), (reduce.Smallest, "amin")],
)
@given(tensors, st.lists(axes, max_size=3).map(tuple), st.booleans())
def test_reductions(kind: type[reduce.Reduce], function: str, x: Shape, axis: Shape, keep: bool) -> None:
    expected = None
    if not refuses_n(x, *axis):
        over = tuple(map(after_n, axis)) or tuple(range(1, len(x) + 1))
        expected = theirs(getattr(torch, function), meta(1, *x), over, keepdim=keep)
    assert ours(kind(axis, keep), x) == expected


@EXAMPLES
@given(map_shapes(rank=2, most=5), st.integers(1, 4), st.integers(1, 4))
def test_shuffles(x: Shape, groups: int, factor: int) -> None:
    expected = theirs(functional.channel_shuffle, torch.zeros(1, *x), groups)
    assert ours(maps.Shuffle(groups), x) == expected
    expected = theirs(functional.pixel_shuffle, meta(1, *x), factor)
    assert ours(maps.PixelShuffle(factor), x) == expected


@EXAMPLES
@given(tensors, st.integers(1, 4), axes)
def test_what_keeps_its_shape(x: Shape, groups: int, axis: int) -> None:
    assert ours(norm.GroupNorm(groups), x) == theirs(functional.group_norm, torch.zeros(2, *x), groups)
    expected = None if refuses_n(x, axis) else [x]
    assert ours(norm.LayerNorm(axis), x) == ours(activation.Softmax(axis), x) == expected
    assert ours(shape.Flatten(), x) == theirs(torch.flatten, meta(1, *x), 1)
    if len(x) in (2, 3):
        assert ours(shape.Tokens(), x) == theirs(lambda y: y.flatten(2).transpose(1, 2), meta(1, *x))
