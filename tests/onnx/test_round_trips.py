"""From a program to ONNX and back: the same graph up to names, also where the model lost its names and its order."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="writes and reads ONNX models")

from canonical import canonical  # noqa: E402
from equality import EXAMPLES  # noqa: E402
from generated import random_inputs  # noqa: E402
from reduced import FIRST, reduced, weights_of  # noqa: E402

import netdsl  # noqa: E402
from netdsl.ir.graph import Graph, Node  # noqa: E402
from netdsl.ir.same import correspondence  # noqa: E402
from netdsl.limits import DEFAULT_LIMITS  # noqa: E402
from netdsl.onnx.read import reader  # noqa: E402
from netdsl.onnx.read.file import Model, needs  # noqa: E402
from netdsl.onnx.read.model import read_parsed  # noqa: E402
from netdsl.onnx.read.ports import Reading  # noqa: E402
from netdsl.onnx.write import model as write_module  # noqa: E402
from netdsl.reference.interpret import interpret  # noqa: E402
from netdsl.tensor import DType  # noqa: E402

pytestmark = pytest.mark.slow

OTHERWISE = {
    "efficientdet.net": "what is computed from weights alone, the shares of its fusions, is a number",
    "inception_resnet2.net": "a factor of 1 goes",
    "neural_style.net": "a product takes its matrices as they lie, without `tokens`",
    "retinanet.net": "at this size two of its maps have a single position, of which a transposition moves nothing",
    "shufflenet.net": "a shuffle of one group goes",
    "ssd.net": "its last maps have a single position, of which a transposition moves nothing",
    "stylegan2.net": "`modconv nodemod` is a product and a convolution, and a weight of one element a factor",
    "swin.net": "windows are cut and put together by other reshapes; what is computed from weights alone is a weight",
    "yolo3.net": "its anchors, which the text lists, are weights; two axes that move together are one",
}
"""Examples that come back as other layers, which are the same in a canonical form, and why."""
DOCUMENT = EXAMPLES.parent / "docs" / "onnx.md"
LARGE = 2**22
"""Elements of weights from which on only graphs are compared."""


def anonymous(proto: Any) -> None:
    """Strip a model of its metadata and names, and turn the order of its nodes around as far as it goes."""
    proto.producer_name = proto.doc_string = ""
    del proto.metadata_props[:], proto.graph.value_info[:]
    kept = {value.name for value in (*proto.graph.input, *proto.graph.output)} | {""}
    rearranged(proto.graph, {name: name for name in kept})


def rearranged(graph: Any, names: dict[str, str]) -> None:
    """A graph, and those inside its nodes, under other names and in another order."""
    for item in graph.initializer:
        item.name = names.setdefault(item.name, f"t{len(names)}")
    for node in graph.node:
        node.name = node.doc_string = ""
        for part in (node.input, node.output):
            part[:] = [names.setdefault(name, f"t{len(names)}") for name in part]
        for body in [item.g for item in node.attribute if item.HasField("g")]:
            body.name = "body"
            for value in body.input:
                value.name = names.setdefault(value.name, f"t{len(names)}")
            rearranged(body, names)
            for value in body.output:
                value.name = names[value.name]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    made = {name for node in nodes for name in node.output}
    readers: dict[str, list[int]] = {}
    missing = []
    for place, node in enumerate(nodes):
        before = made.intersection(needs(node))
        missing.append(len(before))
        for name in before:
            readers.setdefault(name, []).append(place)
    ready = [place for place, count in enumerate(missing) if not count]
    order = []
    while ready:
        order.append(ready.pop())
        for name in nodes[order[-1]].output:
            for place in readers.get(name, ()):
                missing[place] -= 1
                if not missing[place]:
                    ready.append(place)
    assert len(order) == len(nodes)
    del graph.node[:]
    graph.node.extend(nodes[place] for place in order)


def single(graph: Graph) -> Graph:
    """The graph with its factors in single precision, which is what an ONNX model of float32 has of them."""

    def rounded(node: Node) -> Node:
        found = {field.name: getattr(node.op, field.name) for field in fields(node.op)}
        reals = {name: float(np.float32(value)) for name, value in found.items() if isinstance(value, float)}
        return replace(node, op=replace(node.op, **reals))

    return replace(graph, nodes=tuple(map(rounded, graph.nodes)))


def agree(net: netdsl.Network, weights: Any, reading: Reading) -> None:
    inputs = random_inputs(net.graph, DType.FLOAT32, 2)
    wanted = interpret(net.graph, inputs, weights)
    given = {port.name: inputs[port.onnx] for port in reading.inputs}
    found = interpret(reading.graph, given, reading.weights)
    for one, other in zip(found, wanted, strict=True):
        assert np.abs(one - other).max() <= 2e-5 * np.abs(other).max()


def anything(shape: tuple[int, ...]) -> Any:
    """Numbers of a weight that take no memory: every element another place of one short list."""
    numbers = np.random.default_rng(len(shape)).standard_normal(sum(shape) + 1).astype(np.float32)
    return np.lib.stride_tricks.as_strided(numbers, shape, numbers.strides * len(shape), writeable=False)


def hollow(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The model of a large net without the numbers of its weights; reading finds `anything` in their place."""
    filled = reader.tensor

    def empty(name: str, array: Any, element: Any) -> Any:
        return onnx.TensorProto(name=name, dims=array.shape, data_type=1)

    def told(proto: Any, model: Any, what: str = "") -> Any:
        numbers = proto.HasField("raw_data") or proto.float_data or proto.int64_data
        return filled(proto, model, what) if numbers else anything(tuple(proto.dims))

    monkeypatch.setattr(write_module, "_initializer", empty)
    monkeypatch.setattr(reader, "tensor", told)
    return write_module.model_of(graph, {p.value.name: anything(p.value.type.shape) for p in graph.parameters})


def came_back(proto: Any, name: str) -> Reading:
    return read_parsed(Model(proto, "model.onnx", ".", DEFAULT_LIMITS), name, {}, {})


@pytest.mark.parametrize("file", sorted(FIRST))
def test_an_example_comes_back(models: ModuleType, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ONNX gives it; that any graph comes back from its text is tested with `raising`."""
    net = reduced(FIRST[file])
    small = sum(p.value.type.size for p in net.graph.parameters) < LARGE
    if small:
        weights = weights_of(net)
        proto = write_module.model_of(net.graph, weights)
    else:
        proto = hollow(net.graph, monkeypatch)
    reading = came_back(proto, net.graph.name)
    found, wanted = single(reading.graph), single(net.graph)
    assert (correspondence(found, wanted) is not None) == (file not in OTHERWISE)
    assert correspondence(canonical(found), canonical(wanted)) is not None
    if small:
        agree(net, weights, reading)
    anonymous(proto)
    assert correspondence(came_back(proto, "Stripped").graph, reading.graph) is not None


def test_the_document_lists_what_comes_back_otherwise() -> None:
    listed = [
        line.split(" | ") for line in DOCUMENT.read_text().splitlines() if line.startswith("| `") and ".net` |" in line
    ]
    assert {file.strip("|` "): why.removesuffix(" |") for file, why in listed} == OTHERWISE


UNPOOLING = "net Small {\n  input x: 3x4x6\n  pool max k2 indices as y, at\n  y -> unpool(at) k2\n}\n"
REGIONS = "net Small {\n  input x: 3x8x8\n  input boxes: 5x4\n  x -> WORD(boxes) k2\n}\n"


@pytest.mark.parametrize(
    ("text", "node", "attributes", "operands"),
    [
        (UNPOOLING, "unpool/ScatterElements", {"reduction": "add"}, {}),
        (UNPOOLING, "unpool/ScatterElements", {"axis": 1}, {}),
        (UNPOOLING, "unpool/ScatterElements", {}, {0: "unpool/Reshape"}),
        (UNPOOLING, "unpool/Reshape_2", {}, {0: "y/MaxPool.1"}),
        (UNPOOLING, "unpool/Expand", {}, {0: "two"}),
        (UNPOOLING, "y/Mod", {}, {1: "two"}),
        (REGIONS.replace("WORD", "roialign"), "roialign/Range", {}, {0: "roialign/step"}),
        (REGIONS.replace("WORD", "roialign"), "roialign/RoiAlign", {"mode": "max"}, {}),
        (REGIONS.replace("WORD", "roialign"), "roialign/RoiAlign", {"sampling_ratio": 0}, {}),
        (REGIONS.replace("WORD", "roipool"), "roipool/Cast", {}, {0: "roipool/Range"}),
        (REGIONS.replace("WORD", "roipool"), "roipool/Range", {}, {0: "roipool/step"}),
        (REGIONS.replace("WORD", "roipool"), "roipool", {}, {0: "roipool/Concat"}),
    ],
)
def test_what_only_resembles_an_operator_is_refused(
    text: str, node: str, attributes: dict[str, Any], operands: dict[int, str], tmp_path: Path
) -> None:
    path = tmp_path / "small.net"
    path.write_text(text)
    net = netdsl.load(path)
    proto = write_module.model_of(net.graph, {})
    assert correspondence(came_back(proto, "Small").graph, net.graph) is not None
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([[[2]]]), "two"))
    (changed,) = [one for one in proto.graph.node if one.name == node]
    for place, name in operands.items():
        changed.input[place] = name
    for name, value in attributes.items():
        kept = [one for one in changed.attribute if one.name != name]
        del changed.attribute[:]
        changed.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])
    with pytest.raises(netdsl.NetError, match="E0802"):
        came_back(proto, "Small")


def read_nodes(nodes: list[Any], constants: dict[str, Any], shape: tuple[Any, ...], rank: int) -> Reading:
    """A model of these nodes from `x` to `y`."""
    floats = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "Rows",
        [onnx.helper.make_tensor_value_info("x", floats, shape)],
        [onnx.helper.make_tensor_value_info("y", floats, [None] * rank)],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return came_back(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]), "Rows")


def test_stacked_products_need_no_rows_of_the_batch() -> None:
    """Windows of attention: heads are put beside each other by a reshape, their partners by a transposition."""
    constants = {"heads": np.array([-1, 3, 4, 4]), "parts": np.array([-1, 2, 3, 4, 4])}
    nodes = [
        onnx.helper.make_node("Reshape", ["x", "heads"], ["a"]),
        onnx.helper.make_node("Transpose", ["a"], ["b"], perm=[0, 1, 3, 2]),
        onnx.helper.make_node("MatMul", ["a", "b"], ["c"]),
        onnx.helper.make_node("Reshape", ["c", "parts"], ["y"]),
    ]
    reading = read_nodes(nodes, constants, ("N", 6, 4, 4), 5)
    x = np.random.default_rng(0).standard_normal((2, 6, 4, 4)).astype(np.float32)
    (found,) = interpret(reading.graph, {"x": x}, reading.weights)
    wanted = x @ x.swapaxes(2, 3)
    assert np.abs(found.reshape(wanted.shape) - wanted).max() <= 2e-5 * np.abs(wanted).max()
    assert "each" not in [node.op.word for node in reading.graph.nodes]


@pytest.mark.parametrize("shape", [(-1, 2, 3, 4, 5), (-1, 6, 4, 5), (-1, 3, 20), (-1, 3, 4, 5)])
def test_maps_that_are_rows_of_the_batch(shape: tuple[int, ...]) -> None:
    """A convolution of each of two maps, and what goes around it: with the map, with all maps of the sample."""
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((3, 3, 1, 1)).astype(np.float32)
    constants = {
        "w": kernel,
        "rows": np.array([-1, 3, 4, 5]),
        "lines": np.array([-1, 3, 20]),
        "shape": np.array(shape),
    }
    nodes = [
        onnx.helper.make_node("Reshape", ["x", "rows"], ["maps"]),
        onnx.helper.make_node("Conv", ["maps", "w"], ["c"]),
        onnx.helper.make_node("Add", ["c", "maps"], ["both"]),
        onnx.helper.make_node("Reshape", ["both", "lines"], ["a"]),
        onnx.helper.make_node("Reshape", ["x", "lines"], ["b"]),
        onnx.helper.make_node("Mul", ["a", "b"], ["product"]),
        onnx.helper.make_node("Reshape", ["product", "shape"], ["y"]),
    ]
    reading = read_nodes(nodes, constants, ("N", 6, 4, 5), len(shape))
    x = rng.standard_normal((2, 6, 4, 5)).astype(np.float32)
    maps = x.reshape(-1, 3, 4, 5)
    wanted = (np.einsum("oi,nihw->nohw", kernel[..., 0, 0], maps) + maps) * maps
    (found,) = interpret(reading.graph, {"x": x}, reading.weights)
    assert np.abs(found.reshape(wanted.shape) - wanted).max() <= 2e-5 * np.abs(wanted).max()
    assert "each" in [node.op.word for node in reading.graph.nodes]
