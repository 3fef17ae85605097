"""Two layers in one kernel: a 1x1 convolution on the tile of another, or a sum of two as a block's last ones are.

Or elementwise operations on what a 1x1 convolution reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from netdsl.codegen.triton.expressions import EXPRESSIONS
from netdsl.codegen.triton.kernels import BodyText, Call, ChainKernel, GemmKernel, SeparableKernel, SumKernel
from netdsl.codegen.triton.lowerings.gemm import TAKEN, matrix_width
from netdsl.codegen.triton.lowerings.spatial import COLUMN, ROW, Map, Tiled, feature_map, pixel_place, pixel_row_place
from netdsl.codegen.triton.lowerings.tma import BOX, WHERE, maps, operands, tail
from netdsl.codegen.triton.place import Body, Coordinate
from netdsl.codegen.triton.planner import Packed, Planner, Step, kernel_stem
from netdsl.codegen.triton.site import Site
from netdsl.codegen.triton.work import Chain, Depthwise, Headed, Pair, Product, Separable, Sum, Traffic
from netdsl.ir.graph import Value
from netdsl.ops.conv import Conv
from netdsl.ops.elementwise import Add

PAIR_TAKEN = (*TAKEN, "w2", "first_bias", "hidden", "sums", "x2", "bias2")
HIDDEN = (64, 128, 256)
"""Columns that a chain can have between both convolutions: all are in one tile."""
SEPARABLE = ("H", "W", "XN", "XC", "XH", "XW", "KH", "KW", "SH", "SW", "PH", "PW")
WINDOWS = ("C", "H", "W", "XN", "XH", "XW", "OH", "OW", "YN", "YH", "YW", "KH", "KW", "SH", "PH", "PW", "DH", "DW")
SEPARABLE_TAKEN = (*PAIR_TAKEN, "tile", "program", "pair", "c", "even", "odd", "value", "weight", "at")
HEADED_TAKEN = (*PAIR_TAKEN, "k", "k_ok", "x_ok", "w_ok", "x_tile", "w_tile", "x_value", "row", "column")
DEPTH = 64
"""Each depth of a sum is a multiple of this: no box reaches over the end of one."""


def pair_products(planner: Planner, makers: Mapping[Value, Site]) -> None:
    """Put launches of convolutions into one, where the cost model expects a gain. `makers`: the site of each value.

    Sums first: what they save is larger, all of the result, written and read.
    """
    for pair in (_add_products, _in_a_row, _headed) if planner.half else (_in_a_row, _headed):
        for step in tuple(planner.steps):
            if step in planner.steps and not step.apart:
                pair(planner, makers, step)


def _in_a_row(planner: Planner, makers: Mapping[Value, Site], b: Step) -> None:
    """A 1x1 convolution on the result of another that nothing else reads."""
    second = makers.get(b.writes[0])
    first = makers.get(second.operands[0]) if second and second.operands else None
    a = step_of(planner, first)
    if (
        first
        and second
        and a
        and isinstance(first.op, Conv)
        and isinstance(second.op, Conv)
        and call_of(b).form == "multiply"
        and alone(planner, first.result, second)
        and all(len(node.inputs) == 1 for node in first.tail)
    ):
        if isinstance(call_of(a).work, Depthwise):
            _separable(planner, first, second, a, b)
        elif planner.half:
            _chain(planner, first, second, a, b)


def _chain(planner: Planner, first: Site, second: Site, a: Step, b: Step) -> None:
    """A 1x1 convolution on the tile of another, all of whose channels are in the tile."""
    windows, matrix = call_of(a), call_of(b)
    hidden = feature_map(first.result.type).c
    if windows.form != "convolve" or not (windows.twin and matrix.twin) or hidden not in HIDDEN:
        return
    work = Chain(_product(windows), _product(matrix))
    if not half(planner, first, second) or not pays(planner, work):
        return
    between = first.finish(_body(planner, second), "sums")
    body = _body(planner, second, taken=_variables(between))
    text = tail(second, body)
    located = any(map(WHERE.search, text.lines))
    spec = ChainKernel(len(first.weights) > 1, len(second.weights) > 1, located, between, text)
    assert windows.shape
    constants = {name: value for name, value in windows.shape.constants if name in WINDOWS}
    constants |= {**_result(second), "BC": work.hidden}
    shape = planner.shape(f"{windows.shape.name}, then {constants['OC']}", constants, work)
    call = Call("", matrix.count, work=work, form="chain", shape=shape, maps=maps(body), apart=(windows, matrix))
    stem = kernel_stem("conv", *first.words[1:], "gemm", *second.words[1:], "tma")
    reads = (*a.reads[:2], b.reads[1], *a.reads[2:], *b.reads[2:])
    planner.launch(second, "conv_gemm_tma", stem, spec, reads, call)
    merge(planner, a, b)


def _separable(planner: Planner, first: Site, second: Site, a: Step, b: Step) -> None:
    """A 1x1 convolution on the tile of a depthwise one, a block of channels after the other."""
    windows, matrix = call_of(a), call_of(b)
    constants = dict(windows.constants)
    if not isinstance(windows.work, Depthwise) or tuple(constants[n] for n in ("MULTIPLIER", "DH", "DW")) != (1, 1, 1):
        return
    work = Separable(windows.work, _product(matrix))
    if not half(planner, first, second) or not pays(planner, work):
        return
    between = first.finish(_body(planner, second, box=""), "sums")
    body = _body(planner, second, box="", taken=(*SEPARABLE_TAKEN, *_variables(between)))
    text = tail(second, body)
    biases = len(first.weights) > 1, len(second.weights) > 1
    spec = SeparableKernel(*biases, planner.precision, planner.element, between, text)
    hidden, y = feature_map(first.result.type), feature_map(second.result.type)
    kept = {name: int(constants[name]) for name in SEPARABLE}
    kept |= {**_result(second), "C": hidden.c, "YC": y.sc, "WK": matrix_width(hidden.c)}
    name = f"depthwise {kept['KH']}x{kept['KW']} {hidden.c}x{kept['H']}x{kept['W']}, then {y.c}x{y.h}x{y.w}"
    shape = planner.shape(name, kept, work)
    call = Call("", matrix.count, work=work, form="separable", shape=shape, maps=maps(body), apart=(windows, matrix))
    stem = kernel_stem("depthwise", *first.words[1:], "gemm", *second.words[1:])
    reads = (*a.reads[:2], b.reads[1], *a.reads[2:], *b.reads[2:])
    planner.launch(second, "depthwise_gemm", stem, spec, reads, call)
    merge(planner, a, b)


def _headed(planner: Planner, makers: Mapping[Value, Site], b: Step) -> None:
    """Elementwise operations, with a number for each channel, before a 1x1 convolution: done on each tile it reads."""
    second = makers.get(b.writes[0])
    first = makers.get(second.operands[0]) if second and second.operands else None
    a = step_of(planner, first)
    if not (first and second and a and type(first.op) in EXPRESSIONS and isinstance(second.op, Conv)):
        return
    maps_read = {value for value in first.outer.values() if value not in planner.constants}
    x = next(iter(maps_read))
    m = feature_map(x.type)
    vectors = first.outer.keys() - {value for value, known in first.outer.items() if known is x}
    matrix, traffic = call_of(b), call_of(a).work
    if (
        matrix.form != "multiply"
        or not isinstance(traffic, Traffic)
        or len(maps_read) > 1
        or (x.type.shape, x.type.dtype) != (first.result.type.shape, first.result.type.dtype)
        or not _rows_in_line(m)
        or any(value.type.size != 1 and (value.type.size, value.type.shape[0]) != (m.c, m.c) for value in vectors)
        or not alone(planner, first.result, second)
        or not half(planner, first, second)
    ):
        return
    work = Headed(traffic, _product(matrix))
    if not pays(planner, work):
        return
    one = Coordinate("0", "")
    axes = (Coordinate("k[None, :]", COLUMN), *(one for _ in first.result.type.shape[1:]))
    place = Tiled(first.result.type, one, axes, "", {ROW: "row_ok[:, None]", COLUMN: "k_ok[None, :]"})
    before = planner.body(place, HEADED_TAKEN)
    variables = dict.fromkeys(first.outer.keys() - vectors, "x_value")
    for node in first.chain:
        before.apply(node, variables, first.outer)
    lines = ("x_value = x_tile.to(tl.float32)", *before.lines)
    head = BodyText(tuple(before.parameters.values()), lines, variables[first.chain[-1].outputs[0]])
    y = feature_map(second.result.type)
    taken = (*HEADED_TAKEN, *head.parameters, *_variables(head))
    body = planner.body(pixel_row_place(second.result.type, y.h * y.w, y.w), taken)
    text = tail(second, body)
    bias = len(second.weights) > 1
    spec = GemmKernel(bias, False, False, "", "", planner.precision, planner.element, text, head)
    assert matrix.shape
    name = f"{matrix.shape.name} after {'_'.join(first.words)}"
    shape = planner.shape(name, {**dict(matrix.shape.constants), "XM": m.sw}, work)
    call = replace(matrix, work=work, shape=shape, twin="", maps=maps(body), apart=(call_of(a), matrix))
    stem = kernel_stem(*first.words, "gemm", *second.words[1:])
    after = map(planner.read, (*before.parameters, *operands(body)))
    reads = (planner.read(x), b.reads[1], *b.reads[2 : 2 + bias], *after)
    planner.launch(second, "gemm", stem, spec, reads, call)
    merge(planner, a, b)


def _rows_in_line(m: Map) -> bool:
    """Whether pixels of a map are rows of a matrix, at any distance of each other."""
    return m.sc == 1 and (m.h == 1 or m.sh == m.w * m.sw) and m.sn == m.h * m.w * m.sw


def _add_products(planner: Planner, makers: Mapping[Value, Site], b: Step) -> None:
    """relu(conv(x) + conv(x2)) of two 1x1 convolutions, each at stride 1 or 2: their depths follow one another."""
    second = makers.get(b.writes[0])
    if not (second and _is_pointwise(second) and second.tail and isinstance(second.tail[0].op, Add)):
        return
    others = [second.outer[value] for value in second.tail[0].inputs if value in second.outer]
    first = makers.get(others[0]) if len(others) == 1 else None
    a = step_of(planner, first)
    if not (first and a and _is_pointwise(first) and not first.tail and alone(planner, first.result, second)):
        return
    calls = call_of(a), call_of(b)
    x, x2 = (feature_map(site.operands[0].type) for site in (first, second))
    if not all(call.twin for call in calls) or x.c % DEPTH or x2.c % DEPTH or first.result.type != second.result.type:
        return
    one, two = map(_product, calls)
    y = feature_map(second.result.type)
    merged = replace(
        two, out=(y.h, y.w), depth=x.c + x2.c, source=one.source + two.source, weights=one.weights + two.weights,
        reads=two.reads - 1, boxes="windows",
    )  # fmt: skip
    work = Sum(one, two, merged)
    if not half(planner, first, second) or not pays(planner, work):
        return
    # The addition is done by the matrix units: the tail is what comes after it.
    after = replace(second, chain=second.tail)
    body = _body(planner, second)
    text = tail(after, body)
    biases = [read for step in (a, b) for read in step.reads[2:3] if isinstance(read, Packed)]
    located = any(map(WHERE.search, text.lines))
    spec = SumKernel(len(biases), located, text)
    constants = {**_source(first, ""), **_source(second, "2"), **_result(second)}
    shape = planner.shape(f"sum {x.c}x{x.h}x{x.w} + {x2.c}x{x2.h}x{x2.w} to {y.c}x{y.h}x{y.w}", constants, work)
    call = Call("", calls[1].count, work=work, form="add_products", shape=shape, maps=maps(body), apart=calls)
    stem = kernel_stem("conv", "sum", *second.words[2:], "tma")
    reads = (*a.reads[:2], *b.reads[:2], *biases, *map(planner.read, operands(body)))
    planner.launch(second, "conv_sum_tma", stem, spec, reads, call)
    merge(planner, a, b)


def step_of(planner: Planner, site: Site | None) -> Step | None:
    """The launch that makes the result of a site, if that is one launch of its own."""
    found = [step for step in planner.steps if site and site.results[0] in step.writes]
    return found[0] if len(found) == 1 and not found[0].apart else None


def _variables(text: BodyText) -> tuple[str, ...]:
    return tuple(line.partition(" ")[0] for line in text.lines)


def call_of(step: Step) -> Call:
    """What a launch passes."""
    assert isinstance(step.launch.spec, Call)
    return step.launch.spec


def _product(call: Call) -> Product:
    assert isinstance(call.work, Product)
    return call.work


def alone(planner: Planner, value: Value, reader: Site) -> bool:
    """Whether one site alone reads a value, and once."""
    return (
        value not in planner.graph.outputs and set(planner.readers[value]) == {reader.node} and reader.reads(value) == 1
    )


def _is_pointwise(site: Site) -> bool:
    op = site.op
    return (
        isinstance(op, Conv)
        and op.groups == 1
        and op.kernel == (1, 1)
        and op.stride in ((1, 1), (2, 2))
        and not any(op.padding)
    )


def half(planner: Planner, *sites: Site) -> bool:
    """Whether layers neither read nor make float8: products of it have scales, and kernels of their own."""
    values = (value for site in sites for value in (*site.operands, site.result))
    return not any(planner.source(value) in planner.scales for value in values)


def pays(planner: Planner, work: Pair) -> bool:
    """Whether any GPU gains by it at any batch."""
    return any(tile for _, table in planner.tiling.pair(work) for _, tile in table)


def _body(planner: Planner, site: Site, *, box: str = BOX, taken: tuple[str, ...] = ()) -> Body:
    """An empty body on a tile of the site's result."""
    place = pixel_place(
        site.result.type, row="n", height="oh", width="ow", channel="channel", columns="column_ok", offset="offset"
    )
    return planner.body(replace(place, box=box), (*PAIR_TAKEN, *taken))


def _result(site: Site) -> dict[str, int]:
    y = feature_map(site.result.type)
    return {"OC": y.c, "OH": y.h, "OW": y.w, "YN": y.sn, "YH": y.sh, "YW": y.sw}


def _source(site: Site, suffix: str) -> dict[str, int]:
    """Extents and strides of what a 1x1 convolution reads, and its stride."""
    assert isinstance(site.op, Conv)
    x = feature_map(site.operands[0].type)
    names = {"C": x.c, "H": x.h, "W": x.w, "XN": x.sn, "XH": x.sh, "XW": x.sw, "SH": site.op.stride[0]}
    return {f"{name}{suffix}": value for name, value in names.items()}


def merge(planner: Planner, a: Step, b: Step) -> None:
    """The last launch takes the place of the second of two, and holds both."""
    pair = planner.steps.pop()
    planner.steps[planner.steps.index(b)] = replace(pair, apart=(a, b))
    planner.steps.remove(a)
