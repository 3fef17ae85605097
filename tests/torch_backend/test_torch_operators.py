"""Every operator on every sample: the generated PyTorch module against the reference interpreter."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="runs PyTorch modules")

from generated import random_inputs, random_weights  # noqa: E402
from small_nets import single  # noqa: E402
from torch_module import TOLERANCE, error, model_of, tensors  # noqa: E402

from netdsl.codegen.torch.classes import TAKEN  # noqa: E402
from netdsl.codegen.torch.expressions import LOWERINGS  # noqa: E402
from netdsl.ops import ALL  # noqa: E402
from netdsl.ops.base import Sample, feature_map  # noqa: E402
from netdsl.ops.pool import Pool  # noqa: E402
from netdsl.tensor import DType  # noqa: E402

pytestmark = pytest.mark.torch
SAMPLES = [
    pytest.param(sample, id=f"{op.word}-{sample.name}") for op in ALL if op in LOWERINGS for sample in op.samples()
]
UNEVEN = [
    Sample("max", Pool("max", (3,), (2,), (0, 1, 1, 0), ceil=True), (feature_map(2, 6, 7),)),
    Sample("min", Pool("min", (3,), (2,), (1, 0, 0, 1)), (feature_map(2, 6, 7),)),
    Sample("indices", Pool("max", (3,), (2,), (1, 0, 0, 1), indices=True), (feature_map(2, 6, 7),)),
    Sample("indices_line", Pool("max", (3,), (2,), (1, 0), indices=True), (feature_map(2, 6),)),
    Sample("avg", Pool("avg", (3,), (2,), (0, 1, 1, 0), ceil=True), (feature_map(2, 6, 7),)),
    Sample("avg_inside", Pool("avg", (3,), (2,), (0, 1, 1, 0), ceil=True, count_pad=False), (feature_map(2, 6, 7),)),
    Sample("avg_dilated", Pool("avg", (3,), (1,), (1,), dilation=(2,)), (feature_map(2, 6, 7),)),
]
"""Windows that PyTorch has no function for."""


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.FLOAT64])
@pytest.mark.parametrize("sample", [*SAMPLES, *UNEVEN])
def test_module_agrees_with_the_reference(sample: Sample, dtype: DType, n: int) -> None:
    graph = single(sample.op, sample.inputs)
    assert error(graph, random_weights(graph, dtype), random_inputs(graph, dtype, n), dtype) <= TOLERANCE[dtype]


@pytest.mark.parametrize("sample", SAMPLES)
def test_gradients_flow_to_inputs_and_weights(sample: Sample) -> None:
    """In training too; by finite differences where the operator is no noise."""
    graph = single(sample.op, sample.inputs)
    model = model_of(graph, random_weights(graph, DType.FLOAT64), DType.FLOAT64)
    arrays = random_inputs(graph, DType.FLOAT64, 2)
    if sample.op.word in ("log", "sqrt", "pow", "div"):
        arrays = {name: abs(array) + 0.1 for name, array in arrays.items()}
    inputs = [x.requires_grad_() if x.is_floating_point() else x for x in tensors(arrays)]
    leaves = [x for x in (*inputs, *model.parameters()) if x.requires_grad]

    def total() -> torch.Tensor:
        results = model(*inputs)
        results = results if isinstance(results, tuple) else (results,)
        return sum(((y * y).sum() for y in results if y.is_floating_point()), torch.zeros(()))

    loss = total()
    if sample.op.word in ("compare", "nms"):
        assert not loss.requires_grad
        return
    gradients = torch.autograd.grad(loss, leaves, materialize_grads=True)
    source = torch.Generator().manual_seed(0)
    directions = [torch.randn(leaf.shape, dtype=leaf.dtype, generator=source) for leaf in leaves]
    step = 1e-6
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            for leaf, direction in zip(leaves, directions, strict=True):
                leaf += sign * step * direction
            ends.append(float(total()))
            for leaf, direction in zip(leaves, directions, strict=True):
                leaf -= sign * step * direction
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    size = sum(float((g * g).sum()) for g in gradients) ** 0.5
    assert abs((ends[0] - ends[1]) / (2 * step) - slope) <= 1e-4 * max(size, 1)


def test_names_of_pytorch_s_own_are_known() -> None:
    own = {name for kind in (torch.nn.Module, torch.nn.ModuleDict) for name in dir(kind()) if not name.startswith("_")}
    assert own <= TAKEN
