"""What `netdsl export` and `net.export` write, and what they refuse."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from exported import run

import netdsl
from netdsl.cli.main import main
from netdsl.onnx.write import model as writer
from netdsl.onnx.write.model import IR_VERSION, OPSET
from netdsl.weights import write

TEXT = """net Small(classes = 4) {
  input image: 3x8x8
  conv 4 k3 p1 as stem -> relu
  flatten -> fc classes as scores
}
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> netdsl.Network:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETDSL_TRACEBACK", "1")
    Path("small.net").write_text(TEXT)
    loaded = netdsl.load("small.net")
    write("small.safetensors", loaded.init_weights())
    return loaded


def test_a_command_writes_a_model(net: netdsl.Network, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "small.net", "--weights", "small.safetensors", "-o", "small.onnx"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"wrote small.onnx (net Small, float32, ONNX operator set {OPSET})\n"
    data = Path("small.onnx").read_bytes()
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.producer_name) == (IR_VERSION, "netdsl")
    assert [(value.name, value.type.tensor_type.shape.dim[0].dim_param) for value in model.graph.input] == [
        ("image", "N")
    ]
    assert [node.name for node in model.graph.node] == ["stem", "relu", "flatten", "scores"]
    assert [tensor.name for tensor in model.graph.initializer] == list(net.init_weights())
    assert [value.name for value in model.graph.output] == ["scores"]
    x = np.ones((3, 3, 8, 8), np.float32)
    (y,) = run(data, {"image": x})
    assert abs(y - net.run(x, net.init_weights())).max() <= 2e-6
    before = data
    net.export("small.onnx", net.init_weights())
    assert Path("small.onnx").read_bytes() == before, "the same bytes for the same net, and its own file is replaced"


def test_without_weights_it_says_how_to_make_them(net: netdsl.Network, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "small.net", "--set", "classes=7"]) == 2
    err = capsys.readouterr().err
    assert "E0615" in err
    assert "init small.net --set classes=7 -o Small.safetensors" in err
    assert not Path("Small.onnx").exists()


def test_wrong_weights_are_listed(net: netdsl.Network) -> None:
    weights = net.init_weights()
    del weights["stem.bias"]
    weights["more"] = weights["scores.bias"]
    with pytest.raises(netdsl.NetError, match=r"(?s)E0501.*stem\.bias.*E0502.*more"):
        net.export("small.onnx", weights)
    assert not Path("small.onnx").exists()


def test_files_of_others_are_left_alone(net: netdsl.Network, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = Path("theirs.onnx")
    theirs.write_bytes(b"\x08\x0a\x12\x07pytorch")
    words = ["export", "small.net", "--weights", "small.safetensors", "-o", "theirs.onnx"]
    assert main(words) == 2
    assert "E0610" in capsys.readouterr().err
    assert theirs.read_bytes().endswith(b"pytorch")
    assert main([*words, "--force"]) == 0
    assert main([*words[:-1], "small.safetensors", "--force"]) == 2, "its own input, whatever is forced"


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_other_dtypes_are_refused(net: netdsl.Network, dtype: str) -> None:
    with pytest.raises(netdsl.NetError, match="E0703"):
        net.export("small.onnx", net.init_weights(), dtype=dtype)


def test_more_than_bytes_can_hold_is_refused(net: netdsl.Network) -> None:
    large = netdsl.load("small.net", classes=2_500_000)
    weights = {
        p.value.name: np.broadcast_to(np.float32(0), p.value.type.shape) for p in large.graph.parameters
    }  # takes no memory
    with pytest.raises(netdsl.NetError, match="E0907"):
        writer.export(large.graph, weights)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_weights_that_a_file_cannot_hold_lie_beside_it(
    net: netdsl.Network, dtype: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(writer, "MOST_BYTES", 100)
    command = ["export", "small.net", "--weights", "small.safetensors", "-o", "out.onnx", "--dtype", dtype]
    assert main(command) == 0
    assert "wrote out.onnx.data" in capsys.readouterr().err
    weights = net.init_weights()
    size = np.dtype(dtype).itemsize * sum(array.size for array in weights.values())
    assert Path("out.onnx.data").stat().st_size == size
    assert Path("out.onnx").stat().st_size < size
    onnx.checker.check_model("out.onnx", full_check=True)
    x = np.ones((2, 3, 8, 8), dtype)
    (found,) = run("out.onnx", {"image": x})  # type: ignore[arg-type]
    wanted = net.run(x.astype(np.float32), weights)
    assert abs(found - wanted).max() <= (2e-5 if dtype == "float32" else 1e-2) * abs(wanted).max()
    imported = netdsl.from_onnx("out.onnx")
    assert [array.tolist() for array in imported.weights.values()] == [
        array.astype(dtype).tolist() for array in weights.values()
    ]
    assert main(command) == 0, "its own files are replaced"
    Path("other.onnx.data").write_text("mine")
    assert main([*command[:5], "other.onnx"]) == 2
    assert Path("other.onnx.data").read_text() == "mine"
    assert not Path("other.onnx").exists()


def test_without_onnx_the_extra_is_named(
    net: netdsl.Network, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name == "onnx" or name.startswith(("onnx.", "netdsl.onnx."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", "small.net", "--weights", "small.safetensors"]) == 2
    err = capsys.readouterr().err
    assert "E0702" in err
    assert "pip install 'netdsl[onnx]'" in err
