"""Nets on which random ones have failed, made small. Each is compared with the reference, in float64 and float32."""

from __future__ import annotations

import numpy as np
import pytest
from generator import RandomNet
from net_checks import EXACT, SINGLE, Data, by_name, module_results, read, worst

from netdsl.passes.expand import Expand
from netdsl.passes.hoist import Hoist
from netdsl.reference.interpret import interpret
from netdsl.tensor import DType

FOUND = {
    "two layers that differ only in the block that all weights are in": """
block fuse { conv 1 k1 -> div(it) eps=0.25 -> tanh -> concat(it, it) -> relu -> conv 1 k1 }
net Net {
  input x: 2x2
  input y: 2x2
  mul(it, y) -> fuse as kept
  div(kept, y) eps=4.0 -> add(x)
  output it, kept
}
""",
    "pieces of a weight": """
net Net {
  input x: 3
  param whole: 3 = 0.5
  whole -> abs -> split 1 as a, b, c
  param more: 3 = normal(0.5)
  concat(c, more, a, b) -> slice 0 3 -> add(x)
}
""",
    "a weight copied into a concatenation beside what is stored there": """
net Net {
  input x: 1x4x3
  param whole: 2x4x3 = 0.5
  conv 3 k3 p1 -> concat(whole, it) -> relu
}
""",
    "places in a weight": """
net Net {
  input x: 2x4x4
  param whole: 2x4x4 = 0.5
  whole -> pool max k2 indices as y, at
  silu -> unpool(at) k2 -> add(x)
}
""",
    "a convolution of a weight, its bias in a function of the module's own": """
net Net {
  input x: 2x4x4
  param whole: 3x4x4 = 0.5
  whole -> conv 2 k3 p1 -> relu -> add(x)
}
""",
    "a flattened map that a fully connected layer and its tail read": """
net Net { input x: 3x3x2; conv 4 k1 -> flatten -> mul { | fc 24 -> sigmoid | it } }
""",
    "a convolution of a weight, reshaped": """
net Net {
  input x: 2x3x1
  param whole: 2x3x1 = 0.5
  whole -> conv 2 k3 p1 -> reshape to=6x1 -> tanh -> reshape to=[2, 3, 1] -> add(x)
}
""",
    "a weight of no axis": """
net Net {
  input x: 3
  param whole: 3 = 0.5
  whole -> largest -> abs -> hardswish -> relu -> add(x)
}
""",
}


@pytest.mark.parametrize("text", FOUND.values(), ids=FOUND)
def test_found_nets_agree(text: str) -> None:
    graph = read(RandomNet(text))
    random = np.random.default_rng(0)
    data = Data(
        [random.uniform(0.5, 2, (3, *value.type.shape)).astype(np.float32) for value in graph.inputs],
        [random.uniform(-1, 1, p.value.type.shape).astype(np.float32) for p in graph.parameters],
    )
    inputs, weights = by_name(graph, data, np.float64)
    wanted = list(interpret(graph, inputs, weights, np.float64))
    assert worst(module_results(graph, data, DType.FLOAT64), wanted) <= EXACT
    assert worst(module_results(graph, data, DType.FLOAT64, passes=(Expand(), Hoist())), wanted) <= EXACT
    assert worst(module_results(graph, data, DType.FLOAT32), wanted) <= SINGLE
