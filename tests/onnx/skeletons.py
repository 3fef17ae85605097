"""Models as `torch.onnx.export(dynamo=True)` writes them, without the bulk of their weights: `python skeletons.py`.

An export takes PyTorch half a minute, so the files in `skeletons/` keep what it wrote for torchvision's models, fresh
from their constructors. Matrices and kernels lose their numbers, and get random ones when they are read.
"""

from __future__ import annotations

import gzip
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx

FOLDER = Path(__file__).with_name("skeletons")
NAMES = ("resnet50", "vgg16", "densenet121", "mobilenet_v2")
SIZE = 224
LEAST = 64
"""Elements of a tensor that loses its numbers, at least; shapes have fewer."""
BLOCK = 2**20
"""Random numbers that a large tensor repeats."""


def model(name: str) -> Any:
    """The model with random weights, in the scale of He et al. 2015."""
    proto = onnx.load_from_string(gzip.decompress((FOLDER / f"{name}.onnx.gz").read_bytes()))
    numbers = np.random.default_rng(0).standard_normal(BLOCK).astype(np.float32)
    for tensor in proto.graph.initializer:
        dims = tuple(tensor.dims)
        if _is_large(tensor):
            deviation = np.float32((2 / np.prod(dims[1:])) ** 0.5)
            tensor.raw_data = np.resize(deviation * numbers, dims).tobytes()
    return proto


def _is_large(tensor: Any) -> bool:
    return tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1 and np.prod(tensor.dims) > LEAST


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import torch
    from model_sweep import torchvision_models

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for name in NAMES:
        torch.manual_seed(0)
        module = getattr(torchvision_models(), name)().eval()
        shapes = ({0: torch.export.Dim.DYNAMIC},)
        program = torch.export.export(module, (torch.randn(2, 3, SIZE, SIZE),), dynamic_shapes=shapes)
        proto = torch.onnx.export(program, dynamo=True, verbose=False).model_proto
        del proto.metadata_props[:], proto.graph.value_info[:]
        for node in proto.graph.node:
            del node.metadata_props[:]
        for tensor in proto.graph.initializer:
            if _is_large(tensor):
                tensor.ClearField("raw_data")
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{name}.onnx.gz").write_bytes(gzip.compress(proto.SerializeToString(), mtime=0))


if __name__ == "__main__":
    main()
