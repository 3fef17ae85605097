"""Generated modules agree with the reference and with PyTorch on a GPU; `make gpu-test` writes and checks them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.gpu

FOLDER = Path(os.environ.get("NETDSL_GPU_MODULES", Path(__file__).parents[2] / "build" / "gpu"))
"""Where `tests/gpu/generate.py` wrote the modules."""


def obstacle() -> str:
    """Why no GPU test can run here; empty if they can."""
    torch = pytest.importorskip("torch", reason="the modules need torch")
    pytest.importorskip("triton", reason="the modules need triton")
    if not torch.cuda.is_available() or not torch.version.cuda:
        return "needs an NVIDIA GPU"
    if torch.cuda.get_device_capability() < (8, 0):
        return "needs an NVIDIA GPU of sm_80 or newer"
    return "" if FOLDER.is_dir() else f"needs the modules of `make gpu-modules` in {FOLDER.name}"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*_*.py")) or ["all"])
def test_a_module_agrees_on_the_gpu(name: str) -> None:
    if why := obstacle():
        pytest.skip(why)
    from checks import check

    check(FOLDER, name)
