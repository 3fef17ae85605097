"""Bad model files: each is refused with a code, at once, and nothing is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pace import within

onnx = pytest.importorskip("onnx", reason="makes and reads ONNX models")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import netdsl  # noqa: E402
from netdsl import codes  # noqa: E402
from netdsl.cli.main import main  # noqa: E402
from netdsl.limits import Limits  # noqa: E402

FLOAT = TensorProto.FLOAT


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Each file is read or refused within two seconds and 512 MB."""
    resource = pytest.importorskip("resource", reason="knows the largest memory of a process")
    import_module("netdsl.onnx.read.program")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with within(2):
        yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most < 512 * 1024  # in KiB


def model(
    nodes: list[Any],
    initializers: dict[str, Any] | None = None,
    shape: tuple[Any, ...] = ("N", 3, 8, 8),
    output: str = "y",
    domains: tuple[str, ...] = (),
) -> Any:
    """A model with the input `x` and the output `y`."""
    tensors = [numpy_helper.from_array(np.asarray(a), name) for name, a in (initializers or {}).items()]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info(output, FLOAT, [None] * 4)],
        tensors,
    )
    opsets = [helper.make_opsetid("", 18), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets)


def saved(tmp_path: Path, proto: Any) -> str:
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return str(path)


def refusal(tmp_path: Path, proto: Any, **options: Any) -> tuple[netdsl.NetError, str]:
    with pytest.raises(netdsl.NetError) as caught:
        netdsl.from_onnx(saved(tmp_path, proto), **options)
    return caught.value, "\n".join(diagnostic.message for diagnostic in caught.value.diagnostics)


def conv(**attributes: Any) -> Any:
    return helper.make_node("Conv", ["x", "w"], ["y"], name="conv1", **attributes)


WEIGHT = {"w": np.ones((4, 3, 3, 3), np.float32)}


def test_a_good_model_is_read(tmp_path: Path) -> None:
    imported = netdsl.from_onnx(saved(tmp_path, model([conv()], WEIGHT)))
    assert "conv 4 k3 nobias" in imported.text
    assert [port.batch_axis for port in imported.inputs] == [0]


@pytest.mark.parametrize("kept", [0, 1, 5, 20, 100, -1])
def test_a_file_that_ends_early(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "part.onnx"
    path.write_bytes(model([conv()], WEIGHT).SerializeToString()[:kept])
    with pytest.raises(netdsl.NetError) as caught:
        netdsl.from_onnx(path)
    assert caught.value.diagnostics[0].code == codes.BAD_MODEL


@pytest.mark.parametrize("data", [b"\x00" * 64, b"PK\x03\x04" * 9, b"{}", os.urandom(0), b"\xff" * 200, b":\x05abc"])
def test_bytes_that_are_no_model(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "no.onnx"
    path.write_bytes(data)
    with pytest.raises(netdsl.NetError) as caught:
        netdsl.from_onnx(path)
    assert caught.value.diagnostics[0].code == codes.BAD_MODEL


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse
    with pytest.raises(netdsl.NetError) as caught:
        netdsl.from_onnx(path)
    assert caught.value.diagnostics[0].code == codes.WEIGHTS_TOO_LARGE


def test_nodes_in_a_circle(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"], name="first"), helper.make_node("Relu", ["a"], ["b"])]
    error, text = refusal(tmp_path, model([*nodes, helper.make_node("Relu", ["b"], ["y"])]))
    assert error.diagnostics[0].code == codes.BAD_MODEL
    assert "circle" in text


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([helper.make_node("Relu", ["nowhere"], ["y"])], "nothing makes"),
        ([helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"])], "two nodes make"),
        ([helper.make_node("Relu", ["x"], ["z"])], "nothing makes the output"),
        ([helper.make_node("Relu", [], ["y"])], "lacks its input"),
        ([helper.make_node("LeakyRelu", ["x"], ["y"], alpha="steep")], "of another kind"),
    ],
)
def test_graphs_that_break_the_rules(tmp_path: Path, nodes: list[Any], said: str) -> None:
    error, text = refusal(tmp_path, model(nodes))
    assert error.diagnostics[0].code == codes.BAD_MODEL
    assert said in text


def test_everything_that_cannot_be_expressed_is_listed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["a"], name="finder"),
        helper.make_node("Mystery", ["x"], ["b"], name="riddle", domain="ai.acme"),
        helper.make_node("Loop", ["", "", "x"], ["c"], name="loop"),
        helper.make_node("Sum", ["a", "b", "c"], ["y"], name="silent"),
    ]
    error, text = refusal(tmp_path, model(nodes, domains=("ai.acme",)))
    assert {diagnostic.code for diagnostic in error.diagnostics} == {codes.NOT_EXPRESSIBLE}
    assert [name in text for name in ("finder", "riddle", "loop", "silent")] == [True, True, True, False]
    assert "ai.acme" in text


def test_wrong_channels_are_reported_against_the_node(tmp_path: Path) -> None:
    wrong = model([conv()], {"w": np.ones((4, 5, 3, 3), np.float32)})
    onnx.checker.check_model(wrong)  # which sees nothing wrong with it
    _, text = refusal(tmp_path, wrong)
    assert "conv1" in text
    first = helper.make_node("Concat", ["x", "x"], ["z"], axis=1)
    error, text = refusal(tmp_path, model([first, helper.make_node("Add", ["x", "z"], ["y"], name="sum")]))
    assert error.diagnostics[0].code == codes.MODEL_SHAPES
    assert "`sum` (Add)" in text


def lying(change: Callable[[Any], None]) -> Any:
    proto = model([conv()], WEIGHT)
    change(proto.graph.initializer[0])
    return proto


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda t: t.dims.__setitem__(0, 5), codes.BAD_MODEL),
        (lambda t: t.dims.__setitem__(0, -4), codes.BAD_MODEL),
        (lambda t: t.dims.__setitem__(0, 2**40), codes.TENSOR_TOO_LARGE),
        (lambda t: setattr(t, "raw_data", b"123"), codes.BAD_MODEL),
        (lambda t: setattr(t, "data_type", 77), codes.BAD_MODEL),
        (lambda t: setattr(t, "data_type", 17), codes.BAD_MODEL),
    ],
)
def test_initializers_that_lie(tmp_path: Path, change: Callable[[Any], None], code: str) -> None:
    error, _ = refusal(tmp_path, lying(change))
    assert error.diagnostics[0].code == code


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "link.bin", "", "missing.bin", "a\x00b"])
def test_external_data_stays_in_the_folder(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(b"\x00" * 432)
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")

    def outside(t: Any) -> None:
        t.ClearField("raw_data")
        t.data_location = TensorProto.EXTERNAL
        t.external_data.add(key="location", value=location)

    error, _ = refusal(folder, lying(outside))
    assert error.diagnostics[0].code == codes.EXTERNAL_DATA


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    weight = np.arange(108, dtype=np.float32).reshape(4, 3, 3, 3)
    (tmp_path / "weights.bin").write_bytes(b"1234" + weight.tobytes())

    def outside(t: Any) -> None:
        t.ClearField("raw_data")
        t.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "weights.bin"), ("offset", "4"), ("length", "432")):
            t.external_data.add(key=key, value=value)

    imported = netdsl.from_onnx(saved(tmp_path, lying(outside)))
    assert [np.array_equal(array, weight) for array in imported.weights.values()] == [True]


def test_many_tensors_in_one_external_file_are_bounded(tmp_path: Path) -> None:
    def outside(t: Any) -> None:
        t.ClearField("raw_data")
        t.dims[:] = [2**20, 2**13]
        t.data_location = TensorProto.EXTERNAL
        t.external_data.add(key="location", value="weights.bin")

    error, _ = refusal(tmp_path, lying(outside))
    assert error.diagnostics[0].code == codes.WEIGHTS_TOO_LARGE


def test_open_and_absurd_shapes(tmp_path: Path) -> None:
    error, text = refusal(tmp_path, model([conv()], WEIGHT, ("N", 3, "H", "W")))
    assert error.diagnostics[0].code == codes.OPEN_SHAPE
    assert "? x 3 x ? x ?" in text
    path = saved(tmp_path, model([conv()], WEIGHT, ("N", 3, "H", "W")))
    assert netdsl.from_onnx(path, {"x": (3, 9, 7)}).graph.outputs[0].type.shape == (4, 7, 5)
    error, _ = refusal(tmp_path, model([conv()], WEIGHT, ("N", 3, 2**30, 2**30)))
    assert error.diagnostics[0].code == codes.TENSOR_TOO_LARGE
    error, _ = refusal(tmp_path, model([conv()], WEIGHT, ("N", 3, 0, 8)))
    assert error.diagnostics[0].code == codes.BAD_MODEL


def test_constants_are_bounded(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["c"], name="bomb"),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    error, text = refusal(tmp_path, model(nodes, {"s": np.array([10**6, 10**6, 10**6])}))
    assert error.diagnostics[0].code == codes.NOT_EXPRESSIBLE
    assert "bomb" in text
    nodes = [helper.make_node("Tile", ["x", "s"], ["y"], name="bomb")]
    error, _ = refusal(tmp_path, model(nodes, {"s": np.array([1, 10**9, 1, 1])}))
    assert error.diagnostics[0].code == codes.NOT_EXPRESSIBLE


def calling(functions: dict[str, list[str]], domain: str = "own") -> Any:
    """A model that calls the first of these functions, each of which calls others one after another."""
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(domain, 1)]
    made = []
    for name, called in functions.items():
        values = ["x", *(f"t{place}" for place in range(1, len(called))), "y"]
        nodes = [
            helper.make_node(other, [a], [b], domain="" if other == "Relu" else domain)
            for other, a, b in zip(called, values[:-1], values[1:], strict=True)
        ]
        made.append(helper.make_function(domain, name, ["x"], ["y"], nodes, opsets))
    proto = model([helper.make_node(next(iter(functions)), ["x"], ["y"], domain=domain)], domains=(domain,))
    proto.functions.extend(made)
    return proto


@pytest.mark.parametrize(
    ("functions", "code"),
    [
        ({"a": ["a"]}, codes.BAD_MODEL),
        ({"a": ["b"], "b": ["Relu", "a"]}, codes.BAD_MODEL),
        ({**{f"f{i}": [f"f{i + 1}"] for i in range(500)}, "f500": ["Relu"]}, codes.NESTING_TOO_DEEP),
        ({**{f"f{i}": [f"f{i + 1}"] * 2 for i in range(60)}, "f60": ["Relu"]}, codes.TOO_MANY_LAYERS),
    ],
    ids=["itself", "each_other", "deep", "doubling"],
)
def test_functions_that_never_end(tmp_path: Path, functions: dict[str, list[str]], code: str) -> None:
    error, _ = refusal(tmp_path, calling(functions))
    assert error.diagnostics[0].code == code


def test_functions_are_read(tmp_path: Path) -> None:
    imported = netdsl.from_onnx(saved(tmp_path, calling({"a": ["b", "b"], "b": ["Relu"]})))
    assert [node.op.word for node in imported.graph.nodes] == ["relu", "relu"]


def test_many_nodes_meet_the_limit(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", [f"v{i}" if i else "x"], [f"v{i + 1}"]) for i in range(60)]
    proto = model([*nodes, helper.make_node("Relu", ["v60"], ["y"])])
    error, _ = refusal(tmp_path, proto, limits=Limits(layers=50))
    assert error.diagnostics[0].code == codes.TOO_MANY_LAYERS


def test_the_command_writes_both_files_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, model([conv()], WEIGHT))
    assert main(["import", "model.onnx", "-o", "out.net"]) == 0
    assert "the batch is its axis 0" in capsys.readouterr().err
    assert Path("out.net").read_text().startswith("# Generated by netdsl")
    assert [array.shape for array in netdsl.load("out.net").init_weights().values()] == [(4, 3, 3, 3)]
    assert main(["import", "model.onnx", "-o", "out.net"]) == 2  # weights may be trained
    assert main(["import", "model.onnx", "-o", "out.net", "--force"]) == 0
    Path("other.net").write_text("mine")
    assert main(["import", "model.onnx", "-o", "other.net"]) == 2
    assert not Path("other.safetensors").exists()
    assert Path("other.net").read_text() == "mine"
    assert main(["import", "model.onnx", "-o", "-"]) == 2
    saved(tmp_path, model([helper.make_node("NonZero", ["x"], ["y"], name="finder")]))
    assert main(["import", "model.onnx", "-o", "new.net"]) == 1
    assert "`finder` (NonZero)" in capsys.readouterr().err
    assert not {"new.net", "new.safetensors"} & set(os.listdir())


def test_without_onnx_the_message_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    assert main(["import", str(tmp_path / "model.onnx"), "-o", str(tmp_path / "out.net")]) == 2
    assert "netdsl[onnx]" in capsys.readouterr().err
