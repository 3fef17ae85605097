"""Published networks at the size of their text, or reduced: interpreted modules against PyTorch and the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from interpreted import Interpreter, difference, random_inputs, random_weights

import netdsl
from netdsl.codegen.triton.backend import compile_graph
from netdsl.codegen.triton.tiling import DefaultTiling, power_above
from netdsl.codegen.triton.work import Product, Tables, Tile
from netdsl.tensor import DType

pytestmark = [pytest.mark.triton, pytest.mark.slow]
EXAMPLES = Path(__file__).parents[2] / "examples"

LARGEST = 1 << 18
"""Elements of a block; Triton refuses more than four times as many."""


class LargeTiling(DefaultTiling):
    """Few, large blocks: the interpreter's time goes by their number."""

    def matrix(self, product: Product, shape: str) -> Tables:
        rows = max(product.samples, 1) * product.out[0] * product.out[1]
        fitting = (min(max(power_above(n), 16), 512) for n in (product.columns, product.depth))
        tiles = ((1, Tile(min(max(power_above(rows), 16), 2048), *fitting)),)
        return ((80, tiles), (90, tiles))

    def pixels(self, columns: int) -> tuple[int, int]:
        n = min(power_above(columns), 512)
        return LARGEST // n, n

    def block(self) -> int:
        return LARGEST


def test_resnet50_agrees_with_pytorch(interpreter: Interpreter) -> None:
    torch = pytest.importorskip("torch")
    from torch_nets import in_order, resnet50, shaken

    net = netdsl.load(EXAMPLES / "resnet.net", net="ResNet50")
    theirs = shaken(resnet50())
    weights = in_order(theirs, {item.value.name: item.value.type.shape for item in net.graph.parameters})
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = theirs(x).numpy()
    source = compile_graph(net.graph, DType.FLOAT32, tiling=LargeTiling()).source
    arrays = {name: tensor.numpy() for name, tensor in weights.items()}
    (found,) = interpreter.run(source, {"image": x.numpy()}, arrays)
    assert difference(found, wanted) <= 2e-5


@pytest.mark.parametrize(
    ("file", "name", "size"),
    [
        ("mobilenet2.net", "MobileNetV2", 64),
        ("shufflenet2.net", "ShuffleNetV2", 64),
        ("densenet.net", "DenseNet121", 64),
    ],
)
def test_networks_agree_with_the_reference(interpreter: Interpreter, file: str, name: str, size: int) -> None:
    net = netdsl.load(EXAMPLES / file, net=name, shape={"image": (3, size, size)})
    weights = random_weights(net.graph, DType.FLOAT32)
    inputs = random_inputs(net.graph, DType.FLOAT32, 1)
    wanted = net.run(*inputs.values(), weights=weights)
    source = compile_graph(net.graph, DType.FLOAT32, tiling=LargeTiling()).source
    found = interpreter.run(source, inputs, weights)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    for ours, theirs in zip(found, wanted, strict=True):
        assert difference(ours, np.asarray(theirs)) <= 2e-5
