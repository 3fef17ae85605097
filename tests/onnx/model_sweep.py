"""torchvision's classification models through `netdsl.from_torch`: `python tests/onnx/model_sweep.py [NAME...]`.

Too slow for every test run: each is exported by PyTorch with random weights, read, run by the reference interpreter
on two small pictures and compared with PyTorch, then exported as ONNX again and run by onnxruntime. Prints one row a
model for `docs/onnx-models.md`.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from conftest import OPERATORS
from torch_models import settled

SIZES = {"inception_v3": 96, "maxvit_t": 224}
SETTINGS = {
    "googlenet": {"aux_logits": True, "init_weights": False},
    "inception_v3": {"aux_logits": True, "init_weights": False},
    "vit_b_32": {"image_size": 64},
}
NAMES = (
    *("resnet18", "resnet34", "resnet50", "resnext50_32x4d", "squeezenet1_0", "squeezenet1_1"),
    *("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "mnasnet0_5", "mnasnet0_75", "mnasnet1_0"),
    *("shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "regnet_x_400mf", "regnet_y_400mf"),
    *("regnet_x_800mf", "regnet_y_800mf", "efficientnet_b0", "efficientnet_b1", "googlenet", "inception_v3"),
    *("vgg16", "densenet121", "alexnet", "vgg11", "convnext_tiny", "vit_b_32", "swin_t", "swin_v2_t", "maxvit_t"),
)


def back(imported: Any, x: Any, wanted: Any) -> str:
    """The difference after writing the program as ONNX once more."""
    import onnxruntime

    from netdsl.api import Network

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        Network(imported.graph).export(path, imported.weights)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {session.get_inputs()[0].name: x})
    return f"{np.abs(found - wanted).max() / np.abs(wanted).max():.1e}"


def row(models: Any, name: str) -> str:
    """One line of the table."""
    import netdsl
    from netdsl.reference.interpret import interpret

    torch.manual_seed(0)
    module = settled(getattr(models, name)(**SETTINGS.get(name, {})))
    size = SIZES.get(name, 64)
    x = torch.randn(2, 3, size, size)
    start = time.time()
    imported = netdsl.from_torch(module, x)
    taken = time.time() - start
    with torch.no_grad():
        wanted = module(x).numpy()
    (found,) = interpret(imported.graph, {imported.inputs[0].name: x.numpy()}, imported.weights)
    off = np.abs(found - wanted).max() / np.abs(wanted).max()
    lines = len(imported.text.splitlines())
    again = back(imported, x.numpy(), wanted)
    return f"| {name} | {size} | {len(imported.graph.nodes)} | {lines} | {off:.1e} | {again} | {taken:.0f} s |"


@cache
def torchvision_models() -> Any:
    """`torchvision.models`, for which its operators are declared."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in OPERATORS:
        library.define(operator)
    import torchvision.models

    torchvision.models.library = library  # what it declares lives as long as it does
    return torchvision.models


def main() -> None:
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    for name in sys.argv[1:] or NAMES:
        try:
            print(row(torchvision_models(), name), flush=True)
        except Exception as error:
            print(f"| {name} | {type(error).__name__}: {' '.join(str(error).split())[:150]} |", flush=True)


if __name__ == "__main__":
    main()
