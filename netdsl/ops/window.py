"""Arithmetic of sliding windows, shared by convolution and pooling (Dumoulin & Visin 2016, arXiv:1603.07285)."""

from __future__ import annotations

from netdsl import codes
from netdsl.ops.base import ShapeError, per_axis, require_at_least
from netdsl.tensor import shape_text


def extent(kernel: int, dilation: int) -> int:
    """Input elements that a dilated kernel spans."""
    return dilation * (kernel - 1) + 1


def output_length(
    length: int, kernel: int, stride: int, before: int, after: int, dilation: int, ceil: bool = False
) -> int:
    """Windows that fit: floor((L + before + after - extent) / s) + 1; with `ceil`, the last may hang over the end.

    As in PyTorch, a window that `ceil` adds must start inside the input or its leading padding; it may be the only one.
    Where none fits, the result is 0 or less.
    """
    room = length + before + after - extent(kernel, dilation)
    if not ceil:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= length + before else count


def unread(length: int, kernel: int, stride: int, before: int, after: int, dilation: int) -> int:
    """Elements at the end of the input (padding not counted) that no window reads, though one would start there.

    Where the stride is larger than the window, as in a strided 1x1 convolution, as many elements as lie between two
    windows are passed over on purpose.
    """
    span = extent(kernel, dilation)
    room = length + before + after - span
    left = room % stride
    return min(max(left - after, 0), length) if room >= 0 and left > stride - span else 0


def same_padding(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """Padding that keeps the extents at stride 1, as PyTorch's `padding="same"`: the odd element goes to the end."""
    totals = [extent(k, d) - 1 for k, d in zip(kernel, dilation, strict=True)]
    return tuple(t // 2 for t in totals) + tuple(t - t // 2 for t in totals)


def resolved_padding(
    padding: tuple[int, ...], same: bool, kernel: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...]:
    """Padding as starts then ends, from `p` or `same`."""
    if not same:
        return both_sides(padding, len(kernel))
    if any(padding):
        raise ShapeError("takes `same` or `p`, not both")
    return same_padding(kernel, dilation)


def both_sides(padding: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """Padding as starts then ends (`top, left, bottom, right`), from one value, one for each axis, or all of them."""
    if len(padding) == 2 * rank:
        return padding
    return per_axis(padding, rank, "p") * 2


def spatial_outputs(
    spatial: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    ceil: bool = False,
) -> tuple[int, ...]:
    """Output extents of a window over all spatial axes; raises ShapeError where it does not fit even once."""
    rank = len(spatial)
    names = ("length",) if rank == 1 else ("height", "width")
    result = []
    for axis in range(rank):
        before, after = padding[axis], padding[rank + axis]
        count = output_length(spatial[axis], kernel[axis], stride[axis], before, after, dilation[axis], ceil)
        if count < 1:
            span = extent(kernel[axis], dilation[axis])
            missing = span - spatial[axis]
            raise ShapeError(
                f"a window of {span} does not fit the {names[axis]} of {spatial[axis]}"
                + (f" padded by {before} + {after}" if before or after else ""),
                0,
                f"pad it: `p{-(-missing // 2)}` makes it fit",
            )
        result.append(count)
    return tuple(result)


def check_attributes(
    kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...]
) -> None:
    """Refuse what is no window at all."""
    require_at_least(1, kernel, "k")
    require_at_least(1, stride, "s")
    require_at_least(0, padding, "p")
    require_at_least(1, dilation, "d")


def remarks(
    spatial: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[str, str], ...]:
    """The warning that a window does not fit (W0001): rows or columns at the end that it never reads."""
    rank = len(spatial)
    names = ("element",) if rank == 1 else ("row", "column")
    left = [unread(spatial[i], kernel[i], stride[i], padding[i], padding[rank + i], dilation[i]) for i in range(rank)]
    if not any(left):
        return ()
    counts = [
        f"the last {name}" if n == 1 else f"the last {n} {name}s" for n, name in zip(left, names, strict=True) if n
    ]
    what = f"{' and '.join(counts)} of {shape_text(spatial)} {'is' if sum(left) == 1 else 'are'} never read"
    return ((codes.WINDOW_DOES_NOT_FIT, f"the window does not fit: {what}"),)


def uneven(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[tuple[str, str], ...]:
    """The warning that `same` pads unevenly (W0002): an even window has no centre."""
    even = [extent(k, d) for k, d in zip(kernel, dilation, strict=True) if extent(k, d) % 2 == 0]
    if not even:
        return ()
    what = f"`same` with a window of {even[0]} pads one element more at the end than at the start"
    return ((codes.EVEN_KERNEL_SAME, what),)
