"""Trained tensors of other libraries as weights: the command, what it prints, and files that it refuses."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="saves the tensors")

import netdsl  # noqa: E402
from netdsl import weights  # noqa: E402
from netdsl.checkpoint import read  # noqa: E402
from netdsl.cli.main import main  # noqa: E402
from netdsl.limits import Limits  # noqa: E402

pytestmark = pytest.mark.torch

NET = """net Small(classes = 4) {
  input image: 3x8x8
  conv 4 k3 nobias -> bn -> relu
  flatten -> fc classes
}
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETDSL_TRACEBACK", "1")
    Path("small.net").write_text(NET)
    torch.manual_seed(0)
    parts = torch.nn
    return parts.Sequential(
        parts.Conv2d(3, 4, 3, bias=False), parts.BatchNorm2d(4), parts.ReLU(), parts.Flatten(), parts.Linear(144, 4)
    ).eval()


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"epoch": 3, "state_dict": state}])
def test_a_state_dict_fills_a_net(module: Any, wrap: Any, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(wrap(module.state_dict()), "trained.pth")
    assert main(["import", "trained.pth", "--into", "small.net", "-o", "w.safetensors"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "conv  <-  0  by order  weight 4x3x3x3\n"
        "bn    <-  1  by order  bias 4, running_mean 4, running_var 4, weight 4\n"
        "fc    <-  4  by order  bias 4, weight 4x144\n"
        "wrote w.safetensors (net Small, 7 tensors, float32)\n"
    )
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        wanted = module(x).numpy()
    found = netdsl.load("small.net").run(x.numpy(), weights.read("w.safetensors"))
    assert np.abs(found - wanted).max() <= 2e-5 * np.abs(wanted).max()
    assert main(["import", "w.safetensors", "--into", "small.net", "-o", "h.safetensors", "--dtype", "float16"]) == 0
    assert "every layer by its name\n" in capsys.readouterr().err
    assert {array.dtype.name for array in weights.read("h.safetensors").values()} == {"float16"}
    halves = netdsl.load("small.net").run(x.numpy(), weights.read("h.safetensors"))
    assert 0 < np.abs(halves - wanted).max() <= 1e-2 * np.abs(wanted).max()


def test_half_precision_is_read_and_made(module: Any) -> None:
    torch.save({name: tensor.bfloat16() for name, tensor in module.state_dict().items()}, "brain.pt")
    assert main(["import", "brain.pt", "--into", "small.net", "-o", "b.safetensors"]) == 0
    assert np.array_equal(weights.read("b.safetensors")["fc.bias"], module[4].bias.detach().bfloat16().float().numpy())
    assert main(["init", "small.net", "-o", "fresh.safetensors", "--dtype", "float16"]) == 0
    assert {array.dtype.name for array in weights.read("fresh.safetensors").values()} == {"float16"}
    assert main(["init", "small.net", "-o", "no.safetensors", "--dtype", "float8"]) == 2
    assert not Path("no.safetensors").exists()


def test_what_does_not_match_is_listed(module: Any, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(module.state_dict(), "trained.pth")
    words = ["import", "trained.pth", "--into", "small.net", "-o", "w.safetensors"]
    assert main([*words, "--set", "classes=7"]) == 1
    err = capsys.readouterr().err
    assert "E0506" in err
    assert "`fc` (bias 7, weight 7x144)" in err
    assert "`4` (bias 4, weight 4x144)" in err
    assert main([*words, "--place", "fc=1"]) == 1
    assert main(["import", "trained.pth", "-o", "out.net"]) == 2
    assert "--into" in capsys.readouterr().err
    assert sorted(path.name for path in Path().iterdir()) == ["small.net", "trained.pth"]
    assert main([*words, "--place", "fc=4"]) == 0
    assert "as placed" in capsys.readouterr().err
    assert main(words) == 2, "weights may be trained"


class Runs:
    """What unpickling would run."""

    def __reduce__(self) -> Any:
        return (Path("ran").write_text, ("x",))


def test_nothing_of_a_file_runs(module: Any) -> None:
    torch.save({"weight": Runs()}, "evil.pth")
    Path("plain.pth").write_bytes(pickle.dumps({"weight": Runs()}))
    torch.save(module.state_dict(), "good.pth")
    Path("cut.pth").write_bytes(Path("good.pth").read_bytes()[:-300])
    Path("empty.pth").write_bytes(b"")
    torch.save([1, 2], "list.pth")
    torch.save({"weight": 3}, "number.pth")
    torch.save({"weight": torch.zeros(1).expand(2**40)}, "view.pth")
    for name in ("evil", "plain", "cut", "empty", "list", "number", "view"):
        with pytest.raises(netdsl.NetError, match=r"E0505|E0907"):
            read(f"{name}.pth")
    with pytest.raises(netdsl.NetError, match="E0907"):
        read("good.pth", Limits(weight_bytes=100))
    with pytest.raises(netdsl.NetError, match="E0601"):
        read("missing.pth")
    assert not Path("ran").exists()
