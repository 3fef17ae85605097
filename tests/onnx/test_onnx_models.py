"""Whole models: exported by PyTorch with random weights, read, and run to the same numbers."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="exports the models")
pytest.importorskip("onnx", reason="reads ONNX models")
pytest.importorskip("onnxscript", reason="exports the models")

from torch_models import settled  # noqa: E402

import netdsl  # noqa: E402
from netdsl import codes  # noqa: E402
from netdsl.cli.main import main  # noqa: E402
from netdsl.onnx.read.program import Imported  # noqa: E402
from netdsl.reference.interpret import interpret  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def silent() -> Any:
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def agree(imported: Imported, module: Any, x: Any) -> None:
    """The program gives the module's numbers."""
    with torch.no_grad():
        wanted = module(x).numpy()
    (found,) = interpret(imported.graph, {imported.inputs[0].name: x.numpy()}, imported.weights)
    assert np.abs(found - wanted).max() <= 2e-5 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("name", "lines"),
    [("squeezenet1_1", 60), ("shufflenet_v2_x0_5", 60)],
)
def test_models_come_back(models: ModuleType, name: str, lines: int) -> None:
    module = settled(getattr(models, name)())
    x = torch.randn(2, 3, 64, 64)
    imported = netdsl.from_torch(module, x)
    agree(imported, module, x)
    assert len(imported.text.splitlines()) <= lines
    assert max(map(len, imported.text.splitlines())) <= 100


class Tokens(torch.nn.Module):
    """What a vision transformer does: patches, a class token, attention, a head; the batch is merged and moved."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = torch.nn.Conv2d(3, 24, 4, 4)
        self.token = torch.nn.Parameter(torch.randn(1, 1, 24))
        self.place = torch.nn.Parameter(torch.randn(1, 17, 24))
        self.norm = torch.nn.LayerNorm(24)
        self.parts = torch.nn.Linear(24, 72)
        self.out = torch.nn.Linear(24, 24)
        self.head = torch.nn.Linear(24, 5)

    def forward(self, x: Any) -> Any:
        x = self.patch(x).flatten(2).mT
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        n = x.shape[0]
        y = self.parts(self.norm(x).transpose(0, 1))  # length first
        q, k, v = (part.reshape(17, 3 * n, 8).transpose(0, 1) for part in y.chunk(3, -1))  # heads among the batch
        y = (torch.softmax(q @ k.mT / 8**0.5, -1) @ v).transpose(0, 1).reshape(17, n, 24)
        y = x + self.out(y).transpose(0, 1)
        windows = y[:, 1:].reshape(4 * n, 4, 24)  # more rows than the batch has
        windows = torch.softmax(torch.nn.functional.silu(windows).mean(1), -1).reshape(n, 4, 24)
        return self.head(torch.nn.functional.gelu(y[:, 0])) + windows.flatten(1).sum(1, keepdim=True)


def test_sequences_and_a_batch_that_moves() -> None:
    module = settled(Tokens())
    x = torch.randn(3, 3, 16, 16)
    agree(netdsl.from_torch(module, x), module, x)


def test_an_exported_program_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = settled(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Hardswish()))
    x = torch.randn(2, 3, 9, 9)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    torch.export.save(program, "small.pt2")
    assert main(["import", "small.pt2", "-o", "small.net"]) == 0
    net = netdsl.load("small.net")
    from netdsl import weights

    with torch.no_grad():
        wanted = module(x).numpy()
    found = net.run(x.numpy(), weights.read("small.safetensors"))
    assert np.abs(found - wanted).max() <= 2e-5 * np.abs(wanted).max()
    Path("cut.pt2").write_bytes(Path("small.pt2").read_bytes()[:500])
    assert main(["import", "cut.pt2", "-o", "cut.net"]) == 1
    assert not Path("cut.net").exists()


def test_what_pytorch_cannot_export_is_said() -> None:
    class Turns(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x if x.sum() > 0 else -x

    with pytest.raises(netdsl.NetError) as caught:
        netdsl.from_torch(Turns(), torch.randn(2, 3))
    assert caught.value.diagnostics[0].code == codes.NOT_EXPRESSIBLE
