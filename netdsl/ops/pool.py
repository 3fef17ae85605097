"""Pooling and unpooling."""

from __future__ import annotations

from dataclasses import replace
from math import gcd, prod
from typing import ClassVar

from netdsl.ops import window
from netdsl.ops.base import (
    AttrKind,
    Cost,
    Op,
    Sample,
    ShapeError,
    Types,
    Window,
    attr,
    feature_map,
    operator,
    per_axis,
    require_at_least,
    require_float,
    require_rank,
)
from netdsl.tensor import DType, TensorType, shape_text

_FUNCTIONS = ("max", "avg", "min")


@operator
class Pool(Op):
    """The largest, smallest or average element under a window, as `torch.nn.MaxPool2d`, `AvgPool2d` and their 1-D kin.

    `C x H x W -> C x H' x W'`; the stride defaults to the kernel. `global` takes the whole map to `C x 1 x 1`; `to=7x7`
    is adaptive pooling with PyTorch's windows. Otherwise `H' = floor((H + p_top + p_bottom - d(k - 1) - 1) / s) + 1`;
    `ceil` rounds up: the last window may hang over the end, but starts inside the map or its leading padding.

    Padding is at most half the kernel, never wins a maximum, and counts as zeros in an average, unless `nocountpad`;
    what lies behind the padding never counts. With `indices`, a maximum also gives its place in the `H*W` plane (a
    whole number; the first of equal ones), for `unpool`.

    Cost: `kH * kW - 1` operations per output element, one more for an average.
    """

    word: ClassVar[str] = "pool"

    function: str = attr(AttrKind.WORD, "function", positional=True, choices=_FUNCTIONS)
    kernel: tuple[int, ...] = attr(AttrKind.AXES, "window extents", default=(), short="k")
    stride: tuple[int, ...] = attr(AttrKind.AXES, "stride, the kernel unless given", default=(), short="s")
    padding: tuple[int, ...] = attr(
        AttrKind.AXES, "padding: one value, one per axis, or starts then ends", default=(0,), short="p"
    )
    dilation: tuple[int, ...] = attr(AttrKind.AXES, "dilation", default=(1,), short="d")
    ceil: bool = attr(AttrKind.FLAG, "the last window may hang over the end", default=False, flag="ceil")
    whole: bool = attr(AttrKind.FLAG, "pool the whole map", default=False, flag="global")
    to: tuple[int, ...] = attr(AttrKind.EXTENTS, "extents to reach by adaptive windows", default=())
    same: bool = attr(AttrKind.FLAG, "pad so that stride 1 keeps the extents", default=False, flag="same")
    count_pad: bool = attr(AttrKind.FLAG, "an average leaves padding out", default=True, flag="nocountpad")
    indices: bool = attr(AttrKind.FLAG, "also give the places of the maxima", default=False, flag="indices")

    def resolve(self, inputs: Types) -> Op:
        """A window for every axis; an adaptive pool that is no plain one becomes AdaptivePool."""
        rank = _spatial_rank(inputs)
        spatial = inputs[0].shape[1:]
        given = sum([bool(self.kernel), self.whole, bool(self.to)])
        if given != 1:
            but = f", but has {given} of them" if given else ""
            raise ShapeError(
                f"takes a kernel (`k2`), `global` or `to=`{but}", help=None if given else "write it as `k2`"
            )
        if (self.whole or self.to) and (self.stride or any(self.padding) or self.same or self.ceil):
            raise ShapeError("`global` and `to=` leave nothing to stride or pad")
        if self.whole:
            return replace(self._plain(rank, spatial, spatial), whole=False)
        if self.to:
            return self._adaptive(per_axis(self.to, rank, "to"), spatial)
        kernel = per_axis(self.kernel, rank, "k")
        return self._plain(rank, kernel, per_axis(self.stride, rank, "s") if self.stride else kernel)

    def _plain(self, rank: int, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Pool:
        dilation = per_axis(self.dilation, rank, "d")
        window.check_attributes(kernel, stride, self.padding, dilation)
        padding = window.resolved_padding(self.padding, self.same, kernel, dilation)
        for axis in range(rank):
            widest, half = max(padding[axis], padding[rank + axis]), kernel[axis] // 2
            if widest > half and padding != window.same_padding(kernel, dilation):
                raise ShapeError(
                    f"a padding of {widest} is more than half of k{kernel[axis]}", help=f"`p{half}` at most"
                )
        if self.indices and self.function != "max":
            raise ShapeError("only a maximum has a place: `indices` goes with `pool max`")
        return replace(self, kernel=kernel, stride=stride, padding=padding, dilation=dilation, same=False)

    def _adaptive(self, size: tuple[int, ...], spatial: tuple[int, ...]) -> Op:
        require_at_least(1, size, "to")
        if self.indices:
            raise ShapeError("`indices` goes with a kernel, not with `to=`")
        if all(length % n == 0 for length, n in zip(spatial, size, strict=True)):
            kernel = tuple(length // n for length, n in zip(spatial, size, strict=True))
            return replace(self._plain(len(size), kernel, kernel), to=())
        return AdaptivePool(self.function, size)

    def infer(self, inputs: Types) -> Types:
        """`C x H x W -> C x H' x W'`, and the same of whole numbers with `indices`."""
        (operand,) = inputs
        _spatial_rank(inputs)
        spatial = window.spatial_outputs(
            operand.shape[1:], self.kernel, self.stride, self.padding, self.dilation, self.ceil
        )
        result = TensorType((operand.shape[0], *spatial), operand.dtype, operand.batch)
        return (result, result._replace(dtype=DType.INT64)) if self.indices else (result,)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """One comparison or sum for each element of a window but the first; a quotient for an average."""
        window_cost = prod(self.kernel) - (0 if self.function == "avg" else 1)
        return Cost(0, window_cost * outputs[0].elements)

    def window(self, inputs: Types) -> Window:
        """The dilated window."""
        extents = tuple(window.extent(k, d) for k, d in zip(self.kernel, self.dilation, strict=True))
        return Window(extents, tuple((s, 1) for s in self.stride))

    def remarks(self, inputs: Types) -> tuple[tuple[str, str], ...]:
        """A border that no window reads, and an even window with `same`."""
        op = self.resolve(inputs)
        if not isinstance(op, Pool) or op.ceil:
            return ()
        unread = window.remarks(inputs[0].shape[1:], op.kernel, op.stride, op.padding, op.dilation)
        return (*unread, *window.uneven(op.kernel, op.dilation)) if self.same else unread

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Every function and attribute on odd extents, in 1-D and 2-D."""
        image = feature_map(3, 9, 11)
        line = feature_map(4, 13)
        return (
            Sample("max", cls("max", (2,)), (image,)),
            Sample("avg", cls("avg", (2,)), (image,)),
            Sample("min", cls("min", (3,), (2,), (1,)), (image,)),
            Sample("max_pad", cls("max", (3,), (2,), (1,)), (image,)),
            Sample("avg_pad", cls("avg", (3,), (2,), (1,)), (image,)),
            Sample("avg_inside", cls("avg", (3,), (2,), (1,), count_pad=False), (image,)),
            Sample("rectangular", cls("max", (2, 3), (1, 2)), (image,)),
            Sample("dilated", cls("max", (3,), (1,), dilation=(2,)), (image,)),
            Sample("asymmetric", cls("avg", (3,), (2,), (0, 1, 1, 0)), (image,)),
            Sample("max_ceil", cls("max", (2,), ceil=True), (image,)),
            Sample("max_ceil_only", cls("max", (3,), (2,), ceil=True), (feature_map(3, 2, 5),)),
            Sample("avg_ceil", cls("avg", (3,), (2,), ceil=True), (feature_map(3, 8, 10),)),
            Sample("avg_ceil_pad", cls("avg", (3,), (2,), (1,), ceil=True), (feature_map(3, 8, 10),)),
            Sample(
                "avg_ceil_inside", cls("avg", (3,), (2,), (1,), ceil=True, count_pad=False), (feature_map(3, 8, 10),)
            ),
            Sample("same", cls("max", (3,), (1,), same=True), (image,)),
            Sample("tiles", cls("max", (3,), (2,), (1,)), (feature_map(5, 17, 19),)),
            Sample("global_avg", cls("avg", whole=True), (image,)),
            Sample("global_max", cls("max", whole=True), (image,)),
            Sample("adaptive_even", cls("avg", to=(3, 1)), (feature_map(4, 9, 5),)),
            Sample("adaptive_avg", cls("avg", to=(4, 3)), (image,)),
            Sample("adaptive_max", cls("max", to=(4, 5)), (image,)),
            Sample("indices", cls("max", (3,), (2,), (1,), indices=True), (image,)),
            Sample("line_max", cls("max", (3,), (2,)), (line,)),
            Sample("line_avg", cls("avg", (2,)), (line,)),
            Sample("line_global", cls("max", whole=True), (line,)),
        )


@operator
class AdaptivePool(Op):
    """Pooling over windows that reach given extents, as `torch.nn.AdaptiveAvgPool2d`: written `pool avg to=7x7`.

    Output i of n covers the elements from `floor(i L / n)` to `ceil((i + 1) L / n)`. Cost: as many operations as its
    window has elements for each output element, one less for a maximum.
    """

    word: ClassVar[str] = "adaptivepool"
    written: ClassVar[bool] = False

    function: str = attr(AttrKind.WORD, "function", positional=True, choices=_FUNCTIONS)
    size: tuple[int, ...] = attr(AttrKind.EXTENTS, "extents to reach")

    def infer(self, inputs: Types) -> Types:
        """`C x H x W -> C x size`."""
        rank = _spatial_rank(inputs)
        require_at_least(1, self.size, "to")
        if len(self.size) != rank:
            raise ShapeError(f"to gives {len(self.size)} extents for {rank} axes")
        return (inputs[0]._replace(shape=(inputs[0].shape[0], *self.size)),)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """The elements of all windows; the first of each is free for a maximum."""
        # All windows along an axis have L + n - gcd(L, n) elements: neighbours share one unless their border is whole.
        axes = zip(inputs[0].shape[1:], self.size, strict=True)
        elements = outputs[0].elements // prod(self.size) * prod([length + n - gcd(length, n) for length, n in axes])
        return Cost(0, elements if self.function == "avg" else elements - outputs[0].elements)

    def window(self, inputs: Types) -> Window:
        """The largest window; neighbouring outputs are L / n apart."""
        axes = tuple(zip(inputs[0].shape[1:], self.size, strict=True))
        return Window(tuple([_largest_window(length, n) for length, n in axes]), axes)

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Extents that do not divide, and more outputs than inputs."""
        return (
            Sample("avg", cls("avg", (4, 3)), (feature_map(3, 9, 11),)),
            Sample("max", cls("max", (7, 7)), (feature_map(3, 9, 5),)),
            Sample("min", cls("min", (2, 3)), (feature_map(3, 5, 7),)),
            Sample("line", cls("avg", (5,)), (feature_map(4, 13),)),
        )


@operator
class Unpool(Op):
    """Puts each element back to the place that `pool max ... indices` found it at, zeros elsewhere.

    `unpool(at) k2 s2` undoes a pool with the same attributes, as `torch.nn.MaxUnpool2d`: `C x H x W` and its places to
    `C x H' x W'` with `H' = (H - 1) s - p_top - p_bottom + k`; `to=` gives the extents where the pool's rounding lost
    them (less than a stride away). Of elements with the same place, one is kept. Zeiler et al. 2011, Noh et al. 2015.
    Cost: none.
    """

    word: ClassVar[str] = "unpool"
    operands: ClassVar[tuple[int, int | None]] = (2, 2)

    kernel: tuple[int, ...] = attr(AttrKind.AXES, "window extents of the pool", short="k")
    stride: tuple[int, ...] = attr(AttrKind.AXES, "stride of the pool, its kernel unless given", default=(), short="s")
    padding: tuple[int, ...] = attr(AttrKind.AXES, "padding of the pool", default=(0,), short="p")
    to: tuple[int, ...] = attr(AttrKind.EXTENTS, "extents of the result", default=())

    def resolve(self, inputs: Types) -> Op:
        """The result's extents: `(H - 1) s - p_top - p_bottom + k` unless given."""
        rank = _spatial_rank(inputs)
        spatial = inputs[0].shape[1:]
        kernel = per_axis(self.kernel, rank, "k")
        stride = per_axis(self.stride, rank, "s") if self.stride else kernel
        padding = window.both_sides(self.padding, rank)
        window.check_attributes(kernel, stride, padding, (1,))
        reached = tuple((spatial[i] - 1) * stride[i] - padding[i] - padding[rank + i] + kernel[i] for i in range(rank))
        to = per_axis(self.to, rank, "to") if self.to else reached
        if min(to) < 1:
            raise ShapeError("its padding leaves no result", 0)
        for extent, usual, step in zip(to, reached, stride, strict=True):
            if not usual - step < extent < usual + step:
                raise ShapeError(f"no pool with this window makes {shape_text(spatial)} of {shape_text(to)}", 0)
        return replace(self, kernel=kernel, stride=stride, padding=padding, to=to)

    def infer(self, inputs: Types) -> Types:
        """`C x H x W` and places of the same shape -> `C x to`."""
        x, places = inputs
        if places.dtype is not DType.INT64:
            raise ShapeError("expects the places that `pool max ... indices` gives", 1)
        if places.shape != x.shape or places.batch != x.batch:
            raise ShapeError(f"{shape_text(x.shape)} and its places {shape_text(places.shape)} differ", 1)
        return (TensorType((x.shape[0], *self.to), x.dtype, x.batch),)

    def cost(self, inputs: Types, outputs: Types) -> Cost:
        """Values move, none is computed."""
        return Cost(0, 0)

    def window(self, inputs: Types) -> Window:
        """One input reaches each window; neighbouring outputs are 1/s of an input apart."""
        return Window((1,) * len(self.stride), tuple((1, s) for s in self.stride))

    @classmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Apart and overlapping windows, extents that rounding lost, 1-D."""
        x = feature_map(3, 4, 5)
        line = feature_map(4, 6)
        places, line_places = x._replace(dtype=DType.INT64), line._replace(dtype=DType.INT64)
        return (
            Sample("double", cls((2,)), (x, places)),
            Sample("strided", cls((3,), (2,)), (x, places)),
            Sample("padded", cls((3,), (2,), (1,)), (x, places)),
            Sample("rectangular", cls((3, 2), (2, 1), (1, 0)), (x, places)),
            Sample("lost", cls((2,), to=(9, 11)), (x, places)),
            Sample("line", cls((2,)), (line, line_places)),
        )


def _largest_window(length: int, n: int) -> int:
    """Most elements of `floor(i L / n) ... ceil((i + 1) L / n)` over all i."""
    whole, rest = divmod(length, n)
    if not rest:
        return whole
    return whole + (1 if n % rest == 0 else 2)


def _spatial_rank(inputs: Types) -> int:
    require_rank(inputs[0], (2, 3), "a feature map (channels x height x width, or channels x length)")
    require_float(inputs[:1])
    return inputs[0].rank - 1
