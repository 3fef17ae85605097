"""Float8 modules: interpreted, against PyTorch's own float8 where sums are exact; its error on trained digits."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interpreted import Interpreter, SmallTiling, difference
from safetensors.numpy import load_file, save_file
from test_triton_module import run_python

import netdsl
from netdsl.codegen.triton import aot
from netdsl.codegen.triton.backend import compile_graph
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph
from netdsl.ops import Add, Conv, Pool, Relu
from netdsl.tensor import DType, TensorType

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.triton
EXAMPLES = Path(__file__).parents[2] / "examples"
LAYERS = ("first", "inner", "point", "down", "last")


def net(channels: int, extent: int) -> Graph:
    """Float8 met by every kernel that reads it: windows, a 1x1 product, a residual, a maximum, stride 2."""
    builder = GraphBuilder("Eights")
    x = builder.input("x", TensorType((8, extent, extent)))
    (y,) = builder.node(Conv(channels, (1,)), (x,), name="first")
    (a,) = builder.node(Relu(), (y,), name="relu0")
    (y,) = builder.node(Conv(channels, (3,), padding=(1,)), (a,), name="inner")
    (y,) = builder.node(Relu(), (y,), name="relu1")
    (y,) = builder.node(Conv(channels, (1,)), (y,), name="point")
    (y,) = builder.node(Add(), (y, a), name="add")
    (y,) = builder.node(Relu(), (y,), name="relu2")
    (y,) = builder.node(Pool("max", (2,), (1,)), (y,), name="pool")
    (y,) = builder.node(Conv(channels, (3,), (2,), (1,)), (y,), name="down")
    (y,) = builder.node(Relu(), (y,), name="relu3")
    (y,) = builder.node(Conv(8, (1,)), (y,), name="last")
    return builder.result("y", y).finish()


def eight(x: Any, scale: float) -> Any:
    """What is left of numbers in e4m3."""
    return (x / scale).clamp(-448, 448).to(torch.float8_e4m3fn).float() * scale


def half(x: Any) -> Any:
    return x.half().float()


def emulated(x: Any, w: dict[str, Any], calibrated: bool) -> Any:
    """The net by PyTorch. Scales of calibration: powers of two, so that twice the largest element is held."""
    conv = torch.nn.functional.conv2d

    def kept(y: Any) -> Any:
        scale = 2.0 ** torch.ceil(torch.log2(y.max() / 224)) if calibrated else 1.0
        return eight(y, scale)

    def layer(name: str, x: Any, **named: int) -> Any:
        return conv(x, w[f"{name}.weight"], w[f"{name}.bias"], **named)

    a = kept(layer("first", x).relu())
    y = kept(layer("inner", a, padding=1).relu())
    y = kept((layer("point", y) + a).relu())
    y = torch.nn.functional.max_pool2d(y, 2, 1)
    return layer("last", half(layer("down", y, padding=1, stride=2).relu()))


def exact(graph: Graph, seed: int) -> dict[str, Any]:
    """Weights that float8 holds: quarters, of which the largest in each row is 7/4. Sums of few digits are exact."""
    source = np.random.default_rng(seed)
    weights = {}
    for parameter in graph.parameters:
        shape = parameter.value.type.shape
        array = source.integers(-7, 8, shape) * (source.random(shape) < 0.2) / 4
        if len(shape) > 1:
            array[:, 0, 0, 0] = 1.75
        weights[parameter.value.name] = array.astype(np.float32)
    return weights


CASES = [(16, 80, 1, False), (24, 80, 1, True), (32, 90, 1, True), (16, 90, 2, False)]


@pytest.mark.parametrize(("channels", "target", "split", "calibrate"), CASES)
def test_modules_agree_with_pytorch_s_float8(
    interpreter: Interpreter, channels: int, target: int, split: int, calibrate: bool
) -> None:
    graph = net(channels, 5)
    weights = exact(graph, channels)
    x = np.random.default_rng(1).integers(-8, 9, (2, 8, 5, 5)).astype(np.float32) / 4
    source = compile_graph(graph, DType.FLOAT8, tiling=SmallTiling(split=split)).source
    # inner, point and down multiply float8; boxes need rows of 16 bytes, at stride 2 of 32 elements.
    assert source.count("= eights(p[") == 3
    assert len(re.findall(r"_tma(_2)?\),", source)) == {16: 3, 24: 1, 32: 4}[channels]
    (found,) = interpreter.run(source, {"x": x}, weights, target, calibrate)
    wanted = emulated(torch.from_numpy(x), {n: torch.from_numpy(w) for n, w in weights.items()}, calibrate).numpy()
    assert difference(found, wanted) <= 2e-3


def test_trained_digits_are_read_as_in_float32() -> None:
    """The figures that the README states. Kernels are as PyTorch's float8; so this is PyTorch's, on all digits."""
    graph = netdsl.load(EXAMPLES / "digits.net").graph
    source = compile_graph(graph, DType.FLOAT8).source
    assert source.count("= eights(p[") == 3, "all convolutions but the first"
    assert source.count("torch.float8_e4m3fn)  #") == 4, "what three of them make, and a maximum"
    p = {name: torch.from_numpy(w) for name, w in load_file(EXAMPLES / "digits.safetensors").items()}
    test = {name: torch.from_numpy(a) for name, a in load_file(EXAMPLES / "digits_test.safetensors").items()}

    def read(keep: Callable[[Any], Any], rows: Callable[[Any], Any]) -> Any:
        x = test["images"].float() / 255
        for index, name in enumerate(("conv", "conv2", "conv3", "conv4")):
            w = rows(p[f"{name}.weight"]) if index else p[f"{name}.weight"]
            x = torch.nn.functional.conv2d(x, w, p[f"{name}.bias"], padding=1).relu()
            x = keep(x) if index < 3 else x
            x = torch.nn.functional.max_pool2d(x, 2) if index % 2 else x
        x = (x.flatten(1) @ p["fc.weight"].T + p["fc.bias"]).relu()
        return x @ p["fc2.weight"].T + p["fc2.bias"]

    wanted = read(lambda x: x, lambda w: w)
    found = read(lambda x: eight(x, 1.0), lambda w: eight(w, w.flatten(1).abs().amax(1)[:, None, None, None] / 448))
    right, reference = ((y.argmax(1) == test["labels"]).float().mean() for y in (found, wanted))
    assert (right, reference) == (1.0, 1.0)
    assert 0.035 < difference(found.numpy(), wanted.numpy()) <= 0.037
    assert 0.020 < float((found - wanted).square().mean().sqrt() / wanted.square().mean().sqrt()) <= 0.022


def test_gpus_without_float8_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "eights.py"
    compile_graph(net(16, 5), DType.FLOAT8).write(path)
    module = aot.load_module(path)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for capability, said in (
        ((8, 6), "float8 needs sm_89 or newer; compile with --dtype float16"),
        ((7, 5), "sm_89 or"),
    ):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        with pytest.raises(module.ModelError, match=said):
            module.load(tmp_path / "none.safetensors", "cuda:0")
    assert set(module.TILES) == set(module.DEVICES) == {89, 90}
    for arch in ("80", "86"):
        with pytest.raises(SystemExit):
            aot.main([str(path), "--arch", "90", arch])
        said = f"needs sm_89 or newer, as float8 does; compile with --dtype float16 for older ones: --arch {arch}\n"
        assert capsys.readouterr().err.endswith(said)


def test_scales_are_kept_in_a_file(tmp_path: Path) -> None:
    graph = net(16, 3)
    compile_graph(graph, DType.FLOAT8).write(tmp_path / "eights.py")
    save_file(exact(graph, 0), tmp_path / "eights.safetensors")
    x = np.random.default_rng(1).standard_normal((2, 8, 3, 3)).astype(np.float32)
    np.save(tmp_path / "few.npy", x[:1])
    np.save(tmp_path / "more.npy", 100 * x[1:])
    done = run_python(tmp_path, "-W", "ignore", str(Path(__file__).parent / "check_scales.py"))
    assert done.returncode == 0, done.stdout + done.stderr
    head = f"wrote {tmp_path / 'eights.scales.json'}: 3 scales, by 2 samples."
    assert [line for line in done.stdout.splitlines() if line.startswith(head)]
    assert [line.removeprefix("error: ") for line in done.stderr.splitlines()] == [
        f"{tmp_path / 'eights.scales.json'} is there already; replace it with --force",
        "--calibrate y=few.npy: the inputs are x; write NAME=FILE",
        "--calibrate .: not an ordinary file",
        "[Errno 2] No such file or directory: 'none.npy'",
        "small.npy is 1 x 8 x 2 x 2, expected N x 8 x 3 x 3",
        "cannot read none.json: No such file or directory",
    ]
