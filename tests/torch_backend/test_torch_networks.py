"""Whole networks as PyTorch modules: the examples, random ones, names, training."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="runs PyTorch modules")

from equality import EXAMPLES  # noqa: E402
from generated import as_tuple, random_inputs  # noqa: E402
from reduced import ENTRIES, FIRST, reduced, weights_of  # noqa: E402
from torch_module import TOLERANCE, error, model_of, tensors  # noqa: E402

import netdsl  # noqa: E402
from netdsl.codegen.torch.expressions import UNSUPPORTED  # noqa: E402
from netdsl.tensor import DType  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted(FIRST))
def test_examples_agree_with_the_reference(models: ModuleType, file: str) -> None:
    net = reduced(FIRST[file])
    weights, inputs = weights_of(net), random_inputs(net.graph, DType.FLOAT32, 2)
    assert error(net.graph, weights, inputs) <= TOLERANCE[DType.FLOAT32]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["net"])
def test_state_dicts_have_the_names_and_shapes_of_the_weights(entry: dict[str, str]) -> None:
    net = netdsl.load(EXAMPLES / entry["file"], net=entry["net"])
    source = net.compile(backend="torch").source
    assert max(len(line) for line in source.splitlines() if not line.startswith("#")) <= 120
    module: dict[str, Any] = {}
    with torch.device("meta"):
        exec(compile(source, "<module>", "exec"), module)
        state = module["MODEL"]().state_dict()
    wanted = {p.value.name: p.value.type.shape for p in net.graph.parameters}
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == wanted


@pytest.mark.slow
def test_random_nets_agree() -> None:
    from net_checks import EXACT, by_name, draw_data, read, torch_results, worst
    from test_random_nets import for_all

    count = 0

    def judge(net: Any) -> None:
        nonlocal count
        graph, data = read(net), draw_data(net)
        if any(type(node.op) in UNSUPPORTED for node in graph.nodes):
            return
        inputs, weights = by_name(graph, data, np.float64)
        try:
            found = as_tuple(model_of(graph, weights, DType.FLOAT64)(*tensors(inputs)))
        except ValueError as refusal:  # nn.GroupNorm takes no groups of one element
            if "more than 1 value per channel" in str(refusal):
                return
            raise
        assert worst([y.detach().numpy() for y in found], torch_results(net, data)) <= EXACT
        count += 1

    for_all(200, judge)
    assert count >= 150


BLOCKS = """block unit(w) { conv w k3 p1 nobias -> bn -> relu }
block stage(n, w) { repeat n { skip { unit(w) } } }
net Small {
  input image: 4x8x8
  stage(3, 4)
  share head = unit(4)
  let early = head(it)
  pool max k2 -> head
  for i in range(2) { conv 4 k1 as train[i] -> dropout 0.1; param class_: 4x1x1 = 1; mul(it, class_) }
  droppath 0.5 -> flatten -> fc 3 as values
}
"""


@pytest.fixture
def net(tmp_path: Path) -> netdsl.Network:
    path = tmp_path / "small.net"
    path.write_text(BLOCKS)
    return netdsl.load(path)


def test_a_block_is_a_class_and_a_repeated_one_is_written_once(net: netdsl.Network) -> None:
    source = net.compile(backend="torch").source
    assert re.findall(r"^class (\w+)\(nn\.Module\)", source, re.MULTILINE) == ["Unit", "Stage", "Small"]
    assert 'self.unit["2"] = Unit()' in source
    assert source == net.compile(backend="torch").source


def test_names_that_pytorch_has_itself_stay_names_of_weights(net: netdsl.Network) -> None:
    model = netdsl.to_torch(net)
    assert set(model.state_dict()) == set(net.init_weights())
    assert {"train.0.weight", "values.bias"} <= set(model.state_dict())
    x = torch.randn(2, 4, 8, 8)
    wanted = net.run(x.numpy(), net.init_weights())
    assert abs(model.eval()(x).detach().numpy() - wanted).max() <= 2e-5 * abs(wanted).max()


def test_it_trains(net: netdsl.Network) -> None:
    """The loss falls, running statistics move, and dropout is noise in training only."""
    torch.manual_seed(0)
    model = netdsl.to_torch(net).train()
    before = model.stage.unit["0"].bn.running_mean.clone()
    x, labels = torch.randn(16, 4, 8, 8), torch.arange(16) % 3
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert not torch.equal(before, model.stage.unit["0"].bn.running_mean)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_channels_last_and_export_of_the_graph_work(tmp_path: Path) -> None:
    (tmp_path / "small.net").write_text(BLOCKS.replace("train", "mixed"))  # torch.export takes no module called so
    model = netdsl.to_torch(netdsl.load(tmp_path / "small.net")).eval()
    x = torch.randn(2, 4, 8, 8)
    wanted = model(x)
    last = model.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    assert (last - wanted).abs().max() <= 2e-5 * wanted.abs().max()
    traced = torch.export.export(model, (x,)).module()  # what torch.compile traces too
    assert torch.equal(traced(x), model(x))


def test_the_module_runs_as_a_script_and_loads_its_file(net: netdsl.Network, tmp_path: Path) -> None:
    import subprocess
    import sys

    from netdsl.weights import write

    net.compile(backend="torch").write(tmp_path / "small_torch.py")
    write(tmp_path / "w.safetensors", net.init_weights())
    x = np.random.default_rng(0).standard_normal((3, 4, 8, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    words = [sys.executable, "small_torch.py", "--weights", "w.safetensors", "--input", "x.npy", "--output", "y.npy"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    wanted = net.run(x, net.init_weights())
    assert abs(np.load(tmp_path / "y.npy") - wanted).max() <= 2e-5 * abs(wanted).max()
    words[3] = "none.safetensors"
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "netdsl init small.net" in done.stderr


def test_a_product_tied_to_a_table_comes_before_it_or_after(tmp_path: Path) -> None:
    path = tmp_path / "tied.net"
    path.write_text(
        "net T { input x: 5x4; input words: int 5; share t = embed 9 4; x -> fc 9 tied=t as y;"
        " t(words) -> fc 9 tied=t -> add(it, y) }",
        encoding="utf-8",
    )
    net = netdsl.load(path)
    assert error(net.graph, net.init_weights(), random_inputs(net.graph, DType.FLOAT32, 2)) <= TOLERANCE[DType.FLOAT32]
    assert [name for name, _ in netdsl.to_torch(net).named_parameters()] == ["t.weight"]


def test_a_product_tied_to_another_leaves_its_bias_out(tmp_path: Path) -> None:
    path = tmp_path / "tied.net"
    path.write_text("net T { input x: 5x4; share t = fc 4; let y = t(x); x -> fc 4 tied=t -> add(it, y) }")
    net = netdsl.load(path)
    weights = net.init_weights() | {"t.bias": np.arange(4, dtype=np.float32)}
    assert error(net.graph, weights, random_inputs(net.graph, DType.FLOAT32, 2)) <= TOLERANCE[DType.FLOAT32]
