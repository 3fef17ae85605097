"""Every operator to ONNX and back, and what only resembles the spelling of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="writes and reads ONNX models")

from canonical import canonical  # noqa: E402
from generated import random_inputs, random_weights  # noqa: E402
from small_nets import single  # noqa: E402

import netdsl  # noqa: E402
from netdsl.ir.build import GraphBuilder  # noqa: E402
from netdsl.ir.graph import Graph  # noqa: E402
from netdsl.ir.same import correspondence  # noqa: E402
from netdsl.limits import DEFAULT_LIMITS  # noqa: E402
from netdsl.onnx.read.file import Model  # noqa: E402
from netdsl.onnx.read.model import read_parsed  # noqa: E402
from netdsl.onnx.read.ports import Reading  # noqa: E402
from netdsl.onnx.write.model import model_of  # noqa: E402
from netdsl.ops import ALL, Abs, Blur, ModConv, Mul, Nms, Reshape, TopK, Transpose  # noqa: E402
from netdsl.ops.base import Op, Sample, Types, feature_map, vector  # noqa: E402
from netdsl.reference.interpret import interpret  # noqa: E402
from netdsl.tensor import DType, TensorType  # noqa: E402

APART = {"attend", "recurrence", "relayout", "unpool", "gather", "each", "regroup"}
"""What no text says, takes places that an input has, or makes rows of a batch that nothing puts together again."""
OTHERWISE = {
    *("matmul-constant", "position-time", "attention-queries", "pool-avg_ceil_pad", "pool-adaptive_avg"),
    *("pool-adaptive_max", "adaptivepool-avg", "adaptivepool-max", "adaptivepool-min", "adaptivepool-line"),
    *("bn-vector", "lrn-even", "lrn-line", "layernorm-plain", "groupnorm-instance", "groupnorm-vector"),
    *("add-single", "sub-single", "mul-three", "div-eps", "mean-plane", "crop-line"),
    "slice-step",
}
"""Samples that come back as other layers, in canonical form too."""
SAMPLES = {f"{op.word}-{sample.name}": sample for op in ALL if op.word not in APART for sample in op.samples()}


def read(proto: Any) -> Reading:
    return read_parsed(Model(proto, "model.onnx", ".", DEFAULT_LIMITS), "Back", {}, {})


def same_numbers(graph: Graph, weights: Any, reading: Reading) -> None:
    inputs = random_inputs(graph, DType.FLOAT32, 2)
    given = {port.name: inputs[port.onnx] for port in reading.inputs}
    found = interpret(reading.graph, given, reading.weights)
    for one, other in zip(found, interpret(graph, inputs, weights), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-5 * np.abs(other[np.isfinite(other)]).max())


@pytest.mark.parametrize("name", SAMPLES)
def test_an_operator_comes_back(name: str) -> None:
    sample = SAMPLES[name]
    graph = single(sample.op, sample.inputs)
    weights = random_weights(graph, DType.FLOAT32)
    reading = read(model_of(graph, weights))
    same_numbers(graph, weights, reading)
    alike = correspondence(canonical(reading.graph), canonical(graph)) is not None
    assert alike == (name not in OTHERWISE)


def graph_of(*ops: Op, types: Types) -> Graph:
    """Operators one after the other, other operands going into the first."""
    builder = GraphBuilder("Small")
    value = tuple(builder.input(f"x{place}", type) for place, type in enumerate(types))
    for op in ops:
        value = builder.node(op, value, name=f"{op.word}{len(builder.nodes)}")[:1]
    return builder.result("y", value[0]).finish()


IMAGE, STYLE = feature_map(5, 7, 9), vector(5)
DISTINCT = [
    graph_of(*ops, types=(feature_map(4, 4, 4),))
    for ops in (
        (Abs(),),
        (Abs(), Transpose((0, 2, 1))),
        (Abs(), Transpose((1, 0, 2))),
        (Abs(), Transpose((1, 2, 0))),
        (Abs(), Reshape((4, 2, 8))),
        (Abs(), Reshape((16, 4)), Transpose()),
        (Transpose((0, 2, 1)), Abs()),
    )
]


def test_the_canonical_form_tells_movements_apart() -> None:
    forms = [canonical(graph) for graph in DISTINCT]
    assert all(correspondence(a, b) is None for i, a in enumerate(forms) for b in forms[:i])
    back = graph_of(Abs(), Transpose((1, 2, 0)), Reshape((4, 16)), Reshape((4, 4, 4)), Transpose((2, 0, 1)),
                    types=(feature_map(4, 4, 4),))  # fmt: skip
    assert correspondence(canonical(back), forms[0]) is not None


SUPPRESSED = graph_of(Nms(3, 0.4, 0.1), types=(TensorType((9, 4)), vector(9)))


def faults_of_the_loop() -> list[Callable[[Any], None]]:
    """Each node of the loop's body another, each number in it another, operands that are swapped."""
    (loop,) = [node for node in model_of(SUPPRESSED, {}).graph.node if node.op_type == "Loop"]
    body = loop.attribute[0].g
    faults: list[Callable[[Any], None]] = []
    for place, node in enumerate(body.node):
        faults.append(lambda body, place=place: setattr(body.node[place], "op_type", "Foo"))  # type: ignore[misc]
        if len(node.input) > 1 and node.op_type not in ("Add", "Min", "Max", "Mul", "Or", "Equal"):
            faults.append(lambda body, place=place: body.node[place].input.reverse())  # type: ignore[misc]
    for place, item in enumerate(body.initializer):
        if item.name.rpartition("/")[2] not in ("iou", "least"):
            changed = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(item) + 1, item.name)
            faults.append(lambda body, place=place, new=changed: body.initializer[place].CopyFrom(new))  # type: ignore[misc]
    return faults


def test_what_only_resembles_the_loop_of_nms_is_refused() -> None:
    assert correspondence(read(model_of(SUPPRESSED, {})).graph, SUPPRESSED) is not None
    faults = faults_of_the_loop()
    assert len(faults) > 30
    for fault in faults:
        proto = model_of(SUPPRESSED, {})
        (loop,) = [node for node in proto.graph.node if node.op_type == "Loop"]
        fault(loop.attribute[0].g)
        with pytest.raises(netdsl.NetError, match="a loop is read only where it is how `nms` is written"):
            read(proto)


@pytest.mark.parametrize(
    ("node", "place", "name"),
    [
        ("nms0/Sub", 0, "nms0/Slice"),
        ("nms0/ReduceProd", 0, "nms0/Slice"),
        ("nms0/Slice", 1, "nms0/two"),
        ("nms0/Loop", 0, "nms0/first"),
    ],
)  # fmt: skip
def test_boxes_are_those_whose_corners_the_loop_takes(node: str, place: int, name: str) -> None:
    proto = model_of(SUPPRESSED, {})
    (changed,) = [one for one in proto.graph.node if one.name == node]
    changed.input[place] = name
    with pytest.raises(netdsl.NetError, match=r"E080[23]"):
        read(proto)


@pytest.mark.parametrize("sample", [*ModConv.samples(), *Blur.samples()], ids=lambda sample: sample.name)
def test_other_weights_are_no_filter_and_no_modulation(sample: Sample) -> None:
    """The numbers decide: taps of another ratio, and kernels whose squares have another sum, stay what they are."""
    graph = single(sample.op, sample.inputs)
    weights = random_weights(graph, DType.FLOAT32)
    proto = model_of(graph, weights)
    word = sample.op.word
    assert word in {node.op.word for node in read(proto).graph.nodes} or not getattr(sample.op, "demodulate", True)
    for item in proto.graph.initializer:
        array = onnx.numpy_helper.to_array(item).copy()
        if array.dtype == np.float32 and array.size > 1:
            array.flat[1] *= 1.01
            item.CopyFrom(onnx.numpy_helper.from_array(array, item.name))
    for node in proto.graph.node:
        if node.op_type == "ReduceSumSquare":
            node.op_type = "ReduceSum"
    assert word not in {node.op.word for node in read(proto).graph.nodes}


def model(nodes: list[Any], constants: dict[str, Any], shape: tuple[Any, ...], kinds: tuple[int, ...] = (1,)) -> Any:
    """Nodes from `x` to `y`, `y1` and so on."""
    outputs = [onnx.helper.make_tensor_value_info(f"y{place or ''}", kind, None) for place, kind in enumerate(kinds)]
    graph = onnx.helper.make_graph(
        nodes,
        "Small",
        [onnx.helper.make_tensor_value_info("x", 1, shape)],
        outputs,
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)])


def results(proto: Any, x: Any) -> list[Any]:
    reading = read(proto)
    return interpret(reading.graph, {"x": x}, reading.weights)


@pytest.mark.parametrize(
    "pads",
    [(0, 0, -1, 0, 0, 0, 0, -2), (0, 0, -1, 2, 0, 0, 3, -1), (0, -1, 0, 0, 0, 1, 0, 0), (0, 0, -2, -2, 0, 0, -1, -1)],
)
@pytest.mark.parametrize("mode", ["constant", "edge"])
def test_padding_of_less_than_nothing_cuts(pads: tuple[int, ...], mode: str) -> None:
    proto = model([onnx.helper.make_node("Pad", ["x", "pads"], ["y"], mode=mode)], {"pads": pads}, ("N", 3, 5, 6))
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 6)).astype(np.float32)
    sides = list(zip(pads[:4], pads[4:], strict=True))
    cut = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(sides, x.shape, strict=True))]
    wanted = np.pad(cut, [(max(a, 0), max(b, 0)) for a, b in sides], mode)  # type: ignore[call-overload]
    (found,) = results(proto, x)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis", [1, 2, -1])
def test_the_largest_and_the_smallest_elements(axis: int, largest: int) -> None:
    nodes = [onnx.helper.make_node("TopK", ["x", "k"], ["y", "y1"], axis=axis, largest=largest)]
    x = np.random.default_rng(0).integers(-3, 4, (2, 5, 7)).astype(np.float32)
    order = np.argsort(-x if largest else x, axis, kind="stable").take(range(3), axis)
    values, places = results(model(nodes, {"k": np.array([3])}, ("N", 5, 7), (1, 7)), x)
    np.testing.assert_array_equal(places, order)
    np.testing.assert_array_equal(values, np.take_along_axis(x, order, axis))


def chosen_rows(rows: int) -> Any:
    """The rows of a table that a score of each of nine chooses."""
    nodes = [
        onnx.helper.make_node("ReduceSum", ["x", "last"], ["scores"], keepdims=0),
        onnx.helper.make_node("TopK", ["scores", "k"], ["best", "at"], axis=1),
        onnx.helper.make_node("Unsqueeze", ["at", "last"], ["rows"]),
        onnx.helper.make_node("Slice", ["x", "zero", "most", "one"], ["table"]),
        onnx.helper.make_node("GatherND", ["table", "rows"], ["y"], batch_dims=1),
    ]
    lists = {"last": [2], "k": [4], "zero": [0], "most": [rows], "one": [1]}
    return model(nodes, {name: np.array(array) for name, array in lists.items()}, ("N", 9, 3))


def test_rows_at_places_of_maxima() -> None:
    x = np.random.default_rng(0).standard_normal((2, 9, 3)).astype(np.float32)
    (found,) = results(chosen_rows(9), x)
    np.testing.assert_array_equal(found, np.stack([one[np.argsort(-one.sum(1))[:4]] for one in x]))
    with pytest.raises(netdsl.NetError, match="may lie outside the rows"):
        read(chosen_rows(5))


def test_a_product_is_not_a_style() -> None:
    """Squeeze and excitation, a gate for each channel before a convolution, stays what it is."""
    builder = GraphBuilder("Gated")
    x, gate = builder.input("x", IMAGE), builder.input("gate", TensorType((5, 1, 1)))
    (gated,) = builder.node(Mul(), (x, gate), name="gated")
    graph = builder.result("y", gated).finish()
    assert [node.op for node in read(model_of(graph, {})).graph.nodes] == [Mul()]


def test_topk_of_a_merged_axis_is_one_line() -> None:
    graph = graph_of(Reshape((45,)), TopK(3), types=(feature_map(5, 3, 3),))
    assert correspondence(canonical(read(model_of(graph, {})).graph), canonical(graph)) is not None
