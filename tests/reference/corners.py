"""Cases that the operators' own samples leave out: corners where an index may be off by one."""

from __future__ import annotations

from netdsl.ops import activation, conv, elementwise, function, linear, maps, norm, pieces, pool, reduce, shape
from netdsl.ops.base import Op, Sample, feature_map
from netdsl.tensor import TensorType

IMAGE = feature_map(4, 9, 11)
LINE = feature_map(4, 13)
DOT = feature_map(4, 1, 1)
VECTOR = TensorType((7,))


def constant(*shape: int) -> TensorType:
    return TensorType(shape, batch=0)


def plain(name: str, op: Op, *inputs: TensorType) -> Sample:
    return Sample(name, op, inputs)


CORNERS: dict[type[Op], tuple[Sample, ...]] = {
    conv.Conv: (
        plain("dot", conv.Conv(3, (1,)), DOT),
        plain("mostly_padding", conv.Conv(3, (3,), padding=(4,)), DOT),
        plain("stride_over_kernel", conv.Conv(3, (2,), (5,)), IMAGE),
        plain("all_at_once", conv.Conv(6, (3, 2), (2, 3), (2, 0, 1, 3), (1, 2), groups=2), IMAGE),
        plain("same_stride_2", conv.Conv(5, (4, 3), (2,), dilation=(1, 2), same=True), IMAGE),
        plain("depthwise_multiplied", conv.Conv(12, (3,), padding=(1,), groups=4, bias=False), IMAGE),
        plain("line_all_at_once", conv.Conv(6, (3,), (2,), (3, 1), (2,), groups=2), LINE),
        plain("whole_image", conv.Conv(3, (9, 11)), IMAGE),
        plain("constant", conv.Conv(3, (3,)), constant(4, 9, 11)),
    ),
    conv.UpConv: (
        plain("dot", conv.UpConv(3, (2,), (2,)), DOT),
        plain("gaps", conv.UpConv(3, (2,), (5,)), IMAGE),
        plain("all_at_once", conv.UpConv(6, (3, 2), (2, 3), (1, 0, 2, 1), (1, 2), (1, 2), 2), IMAGE),
        plain("outpad_by_dilation", conv.UpConv(3, (3,), (1,), (1,), (3,), (2,)), IMAGE),
        plain("line_all_at_once", conv.UpConv(6, (4,), (3,), (1,), (2,), (2,), 2, bias=False), LINE),
    ),
    pool.Pool: tuple(
        plain(f"{function}_{name}", pool.Pool(function, **attributes), operand)
        for function in ("max", "avg", "min")
        for name, operand, attributes in (
            ("dot", DOT, {"kernel": (1,)}),
            ("ceil", IMAGE, {"kernel": (2,), "ceil": True}),
            ("ceil_last_window_in_padding", feature_map(2, 5, 6), {"kernel": (2,), "padding": (1,), "ceil": True}),
            ("ceil_pad", IMAGE, {"kernel": (3, 4), "stride": (3, 2), "padding": (1, 2), "ceil": True}),
            ("line_ceil", LINE, {"kernel": (4,), "stride": (3,), "padding": (2,), "ceil": True}),
            ("nocountpad", IMAGE, {"kernel": (3,), "stride": (2,), "padding": (1,), "count_pad": False}),
            ("ceil_nocountpad", IMAGE, {"kernel": (4,), "padding": (2,), "ceil": True, "count_pad": False}),
            ("dilated", IMAGE, {"kernel": (3, 2), "stride": (1, 2), "dilation": (2, 3)}),
            ("asymmetric", IMAGE, {"kernel": (3,), "stride": (2,), "padding": (0, 1, 1, 0)}),
            ("asymmetric_nocountpad", IMAGE, {"kernel": (3,), "padding": (0, 1, 1, 0), "count_pad": False}),
            ("same_even", IMAGE, {"kernel": (2,), "stride": (1,), "same": True}),
            ("whole", IMAGE, {"whole": True}),
            ("to_divisor", feature_map(3, 6, 8), {"to": (3, 2)}),
        )
    )
    + tuple(
        plain(f"indices_{name}", pool.Pool("max", indices=True, **attributes), operand)
        for name, operand, attributes in (
            ("overlap", IMAGE, {"kernel": (3,), "stride": (2,), "padding": (1,)}),
            ("dilated", IMAGE, {"kernel": (2, 3), "dilation": (2, 1)}),
            ("ceil", IMAGE, {"kernel": (4,), "padding": (2,), "ceil": True}),
            ("line", LINE, {"kernel": (3,), "padding": (1,)}),
        )
    ),
    pool.AdaptivePool: tuple(
        plain(f"{function}_{'x'.join(map(str, size))}", pool.AdaptivePool(function, size), operand)
        for function in ("max", "avg", "min")
        for size, operand in (((4, 5), IMAGE), ((1, 1), IMAGE), ((13, 12), IMAGE), ((9, 11), IMAGE), ((5,), LINE))
    ),
    linear.Fc: (
        plain("one_feature", linear.Fc(1), TensorType((1,))),
        plain("constant", linear.Fc(3), constant(5, 7)),
        plain("rank_4", linear.Fc(3), TensorType((2, 3, 4, 5))),
    ),
    linear.MatMul: (
        plain("both_transposed", linear.MatMul(True, True), TensorType((3, 5, 4)), TensorType((3, 2, 5))),
        plain("constant_first", linear.MatMul(), constant(3, 2, 5), TensorType((3, 5, 4))),
        plain("outer", linear.MatMul(), TensorType((5, 1)), TensorType((1, 4))),
    ),
    norm.BatchNorm: (
        plain("large_eps", norm.BatchNorm(eps=0.5), IMAGE),
        plain("constant", norm.BatchNorm(), constant(4, 3)),
    ),
    norm.BatchNormScale: (plain("large_eps", norm.BatchNormScale(0.5), constant(5), constant(5)),),
    norm.LRN: tuple(
        plain(f"size_{size}", norm.LRN(size, 0.75, 0.5, 1.5), feature_map(channels, 5, 3))
        for size, channels in ((1, 3), (2, 1), (3, 2), (4, 7), (9, 4))
    ),
    norm.LayerNorm: (
        plain("middle", norm.LayerNorm(1, 0.25), IMAGE),
        plain("from_the_end", norm.LayerNorm(-3), IMAGE),
        plain("one_element", norm.LayerNorm(), TensorType((5, 1))),
    ),
    norm.GroupNorm: (plain("large_eps", norm.GroupNorm(2, 0.5), IMAGE),),
    activation.PRelu: (
        plain("single", activation.PRelu(single=True), IMAGE),
        plain("vector", activation.PRelu(), VECTOR),
    ),
    activation.Softmax: (
        plain("channels", activation.Softmax(0), IMAGE),
        plain("middle", activation.Softmax(-2), IMAGE),
        plain("one_element", activation.Softmax(), TensorType((5, 1))),
    ),
    activation.LogSoftmax: (
        plain("channels", activation.LogSoftmax(0), IMAGE),
        plain("middle", activation.LogSoftmax(-2), IMAGE),
    ),
    activation.Clamp: (plain("lopsided", activation.Clamp(-0.25, 3.0), IMAGE),),
    **{
        join: (
            plain("both_spread", join(), feature_map(4, 9, 1), feature_map(1, 1, 11)),
            plain("constant_first", join(), constant(4, 1, 1), IMAGE),
            plain("constants", join(), constant(4, 3), constant(4, 1)),
            plain("single_first", join(), constant(1), IMAGE),
            plain("one_per_sample", join(), IMAGE, TensorType((1,))),
            plain("rows", join(), TensorType((4,), batch=3), TensorType((4,), batch=3)),
        )
        for join in (
            elementwise.Add,
            elementwise.Mul,
            elementwise.Sub,
            elementwise.Div,
            elementwise.Maximum,
            elementwise.Minimum,
            function.Power,
        )
    },
    shape.Flatten: (plain("constant", shape.Flatten(), constant(2, 3, 4)), plain("line", shape.Flatten(), LINE)),
    shape.Transpose: (
        plain("turn", shape.Transpose((1, 2, 0)), IMAGE),
        plain("swap", shape.Transpose(), IMAGE),
        plain("four", shape.Transpose((3, 1, 0, 2)), TensorType((2, 3, 4, 5))),
    ),
    maps.Pad: tuple(
        plain(f"{mode}_{name}", maps.Pad(padding, 0.5 if mode == "constant" else 0.0, mode), operand)
        for mode in ("constant", "reflect", "replicate")
        for name, padding, operand in (
            ("even", (2,), IMAGE),
            ("axes", (1, 3), IMAGE),
            ("sides", (0, 1, 2, 3), IMAGE),
            ("line", (3, 1), LINE),
        )
    ),
    pieces.Concat: (
        plain("four", pieces.Concat(), IMAGE, feature_map(1, 9, 11), feature_map(7, 9, 11), feature_map(2, 9, 11)),
        plain("constant", pieces.Concat(), TensorType((5, 6)), constant(1, 6)),
        plain("width", pieces.Concat(-1), IMAGE, feature_map(4, 9, 2)),
    ),
    pieces.Split: (
        plain("ragged", pieces.Split(4, -1), IMAGE),
        plain("width", pieces.Split(5, 1), IMAGE),
    ),
    pieces.Slice: (
        plain("step", pieces.Slice(1, 10, -1, 3), IMAGE),
        plain("middle", pieces.Slice(2, 7, 1, 2), IMAGE),
    ),
    pieces.Take: (plain("last", pieces.Take(10, -1), IMAGE), plain("vector", pieces.Take(3), VECTOR)),
    maps.Upsample: tuple(
        plain(
            f"{mode}_{name}{'_corners' if corners else ''}",
            maps.Upsample(mode, corners=corners, **attributes),
            operand,
        )
        for mode, corners in (("nearest", False), ("bilinear", False), ("bilinear", True))
        for name, operand, attributes in (
            ("stride", IMAGE, {"stride": (3, 2)}),
            ("to_larger", feature_map(2, 5, 7), {"to": (8, 16)}),
            ("to_smaller", IMAGE, {"to": (4, 3)}),
            ("to_one", IMAGE, {"to": (1, 1)}),
            ("dot", DOT, {"stride": (4,)}),
            ("line", LINE, {"stride": (2,)}),
        )
    ),
    maps.Shuffle: (
        plain("six_of_two", maps.Shuffle(2), feature_map(6, 3, 5)),
        plain("line", maps.Shuffle(3), feature_map(12, 4)),
    ),
    maps.PixelShuffle: (plain("three", maps.PixelShuffle(3), feature_map(18, 2, 5)),),
    **{
        kind: (
            plain("all", kind(), IMAGE),
            plain("all_keep", kind(keep=True), IMAGE),
            plain("spatial_keep", kind((1, 2), True), IMAGE),
            plain("from_the_end", kind((-1,)), IMAGE),
            plain("channels", kind((0,)), IMAGE),
            plain("constant", kind((0,)), constant(4, 3)),
        )
        for kind in (reduce.Mean, reduce.Sum, reduce.Product, reduce.Largest, reduce.Smallest)
    },
}
