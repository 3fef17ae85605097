"""Run by a test in a folder with `digits.py`, its weights and inputs, under Triton's interpreter."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

sys.path.insert(0, os.getcwd())


def state() -> tuple[Any, ...]:
    """What an import might change in the process."""
    return dict(os.environ), torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32, torch.get_default_dtype()


before = state()
import digits  # type: ignore[import-not-found] # noqa: E402

assert state() == before
model = digits.load("digits.safetensors")
x, wanted = torch.from_numpy(np.load("x.npy")), torch.from_numpy(np.load("wanted.npy"))


def agrees(found: torch.Tensor, n: int = 3) -> bool:
    return found.shape == (n, 10) and bool((found - wanted[:n]).abs().max() < 1e-5)


def refused(call: Callable[[], object], *parts: str) -> None:
    text = ""
    try:
        call()
    except digits.ModelError as error:
        text = str(error)
    assert text, parts
    assert all(part in text for part in parts), (parts, text)


for n in (1, 3, 2, 1, 3):
    assert agrees(model(x[:n]), n)
first, second = model(x), model(x + 1)
assert agrees(first), "results are the caller's own"
assert not agrees(second)
assert model(x[:0]).shape == (0, 10)
assert agrees(model(x.to(memory_format=torch.channels_last)))
assert agrees(model(x.permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)))
for n in range(1, 20):
    model(x[:1].expand(n, 1, 8, 8))
assert len(model._workspaces) <= 8

refused(lambda: model(x.double()), "image holds torch.float64, expected torch.float32")
refused(lambda: model(x[:, :, 1:].half()), "torch.float16", "image is 3 x 1 x 7 x 8, expected N x 1 x 8 x 8")
refused(lambda: model(x[0]), "image is 1 x 8 x 8, expected N x 1 x 8 x 8")
refused(lambda: model(x.numpy()), "image is a ndarray, expected a tensor")
refused(lambda: model(x.to("meta")), "image is on meta, expected cpu")
refused(lambda: model.capture(1), "needs an NVIDIA GPU")
refused(lambda: digits.load("none.safetensors"), "none.safetensors: no such file", "netdsl init")
refused(lambda: digits.load("none.safetensors"), "netdsl init net.net --net Digits -o FILE")
Path("bad.safetensors").write_bytes(b"\xff" * 64)
refused(lambda: digits.load("bad.safetensors"), "not a readable safetensors file")
tensors = {
    "conv.weight": torch.zeros(6, 1, 3, 5),
    "conv.bias": torch.zeros(6, dtype=torch.int64),
    "fc.weight": torch.zeros(10, 96),
    "more": x,
}
save_file(tensors, "wrong.safetensors")
refused(
    lambda: digits.load("wrong.safetensors"),
    "conv.weight is 6 x 1 x 3 x 5, expected 6 x 1 x 3 x 3",
    "conv.bias holds I64, expected F64, F32, F16 or BF16",
    "fc.bias is missing: 10",
    "more is not a weight of this network",
)
