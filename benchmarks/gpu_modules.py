"""Writes what `gpu.py` runs: `python benchmarks/gpu_modules.py build/gpu-bench`. Needs netdsl, and no GPU.

For each net a Triton module in each element type, the same net as a PyTorch module, and `predicted.json`: what the cost
model says of each row, in columns of its own beside what is measured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import netdsl
from netdsl.backends import dtype_named
from netdsl.codegen.triton.backend import forecast

EXAMPLES = Path(__file__).parents[1] / "examples"
NETS = {
    "ResNet50": ("resnet.net", {}),
    "VGG16": ("vgg.net", {}),
    "MobileNetV2": ("mobilenet2.net", {}),
    "UNetSame": ("unet.net", {"image": (3, 256, 256)}),
    "ResNet18": ("resnet.net", {}),
    "DenseNet121": ("densenet.net", {}),
    "ViTB16": ("vit.net", {}),
}
"""File of the example, and the shape of its picture where that is another."""
DTYPES = ("float16", "bfloat16", "tf32")
BATCHES = (1, 8, 32, 128)


def main(folder: Path) -> None:
    """All modules; then the predictions."""
    nets = {name: netdsl.load(EXAMPLES / file, net=name, shape=shape) for name, (file, shape) in NETS.items()}
    write(folder, nets)


def write(folder: Path, nets: Mapping[str, netdsl.Network], dtypes: Sequence[str] = DTYPES) -> None:
    """What `gpu.py` needs of these nets."""
    folder.mkdir(parents=True, exist_ok=True)
    predicted = {}
    for name, net in nets.items():
        net.compile(backend="torch").write(folder / f"{name}_torch.py")
        for dtype in dtypes:
            net.compile(backend="triton", dtype=dtype).write(folder / f"{name}_{dtype}.py")
            for batch in BATCHES:
                times = forecast(net.graph, dtype_named(dtype), batch)
                row = dict(zip(("predicted_ms", "limit_ms"), (time / 1000 for time in times), strict=True))
                predicted[f"{name} {dtype} {batch}"] = row
    (folder / "predicted.json").write_text(json.dumps(predicted, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
