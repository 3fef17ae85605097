"""Files of trained tensors from other libraries: PyTorch's, by `torch.load(weights_only=True)`, and safetensors.

`weights_only` builds tensors and plain containers and runs nothing of the file. What a file says of its own size is
checked before it is loaded.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from typing import Any

from netdsl import codes, extras, files, tensorfile
from netdsl.files import refuse
from netdsl.limits import DEFAULT_LIMITS, Limits
from netdsl.tensorfile import shown

WRAPPED = ("state_dict", "model_state_dict", "model")
"""Where training scripts put the state dict beside other things."""


def read(path: str, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """The tensors of a `.safetensors` file, or of a file that `torch.save` wrote, by name.

    Raises NetError: E0601 (unreadable), E0505 (no tensors by name, or more than tensors), E0702 (PyTorch is missing),
    E0907 (too large).
    """
    if path.lower().endswith(".safetensors"):
        return dict(tensorfile.read(path, limits=limits))
    _check_size(path, limits)
    torch = extras.load("torch", f"reading {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever unpickling meets
        reason = shown(" ".join(str(error).split())) or type(error).__name__
        message = f"torch.load(weights_only=True) does not read {path}: {reason}"
        raise refuse(codes.WEIGHT_FILE, message) from None
    for name in WRAPPED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content:
        raise refuse(codes.WEIGHT_FILE, f"{path} holds no tensors by name")
    wrong = [str(name) for name, tensor in content.items() if not isinstance(tensor, torch.Tensor)]
    if wrong:
        raise refuse(codes.WEIGHT_FILE, f"{path} is no state dict: `{shown(wrong[0])}` is no tensor")
    size = 4 * sum(tensor.numel() for tensor in content.values())
    if size > limits.weight_bytes:  # views may be larger than what they look at
        message = f"the tensors of {path} take {size} bytes; at most {limits.weight_bytes} are read"
        raise refuse(codes.WEIGHTS_TOO_LARGE, message)
    return {str(name): tensor.detach() for name, tensor in content.items()}


def _check_size(path: str, limits: Limits) -> None:
    try:
        with files.opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size <= limits.weight_bytes and zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    size = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile:
        raise refuse(codes.WEIGHT_FILE, f"{path} is no whole archive") from None
    except (OSError, ValueError) as error:
        raise refuse(codes.CANNOT_READ, f"cannot read {path}: {files.reason(error)}") from None
    if size > limits.weight_bytes:
        message = f"{path} takes {size} bytes; at most {limits.weight_bytes} are read"
        raise refuse(codes.WEIGHTS_TOO_LARGE, message)
