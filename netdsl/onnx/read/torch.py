"""PyTorch's modules and exported programs as programs of netdsl, through PyTorch's own ONNX export."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from netdsl import codes, files
from netdsl.files import refuse
from netdsl.limits import DEFAULT_LIMITS, Limits
from netdsl.onnx.read.file import malformed
from netdsl.onnx.read.program import Imported, import_bytes
from netdsl.tensorfile import shown

FORCED = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
PICKLED = ("custom_obj_", "opaque_obj_")
"""How the names of objects begin that only unpickling could read; netdsl unpickles nothing."""


def import_exported(path: str, limits: Limits = DEFAULT_LIMITS) -> Imported:
    """A program that `torch.export.save` wrote. Nothing of the file is unpickled.

    Raises NetError: E0601, E0702 (PyTorch or onnxscript is missing), E0801 (no such file), E0802, E0907.
    """
    _check_archive(path, limits)
    torch = _torch()
    with _weights_only():
        program = _guarded(lambda: torch.export.load(path), f"{path} is no program that torch.export saved")
    return _through_onnx(torch, program, os.path.basename(path), limits)


def import_module(module: Any, example: Any, limits: Limits = DEFAULT_LIMITS) -> Imported:
    """A module, traced on an example input or a tuple of them, each of two samples or more; the batch stays open.

    Raises NetError: E0702, E0802 with the reason of PyTorch's tracer, or what `import_bytes` raises.
    """
    torch = _torch()
    inputs = tuple(example) if isinstance(example, tuple | list) else (example,)
    open_batch = tuple({0: torch.export.Dim.DYNAMIC} if getattr(item, "ndim", 0) else None for item in inputs)
    name = f"{type(module).__name__}.onnx"
    training = module.training
    module.eval()
    try:
        program = _guarded(
            lambda: torch.export.export(module, inputs, dynamic_shapes=open_batch),
            f"PyTorch cannot export {type(module).__name__}",
        )
        return _through_onnx(torch, program, name, limits)
    finally:
        module.train(training)


def _through_onnx(torch: Any, program: Any, name: str, limits: Limits) -> Imported:
    exported = _guarded(
        lambda: torch.onnx.export(program, dynamo=True, verbose=False), f"PyTorch cannot write {name} as ONNX"
    )
    return import_bytes(exported.model_proto.SerializeToString(), name, limits)


def _torch() -> Any:
    for package, extra in (("torch", "torch"), ("onnxscript", "onnx")):
        try:
            __import__(package)
        except ImportError:
            message = f"PyTorch's models need {package}, which is not installed"
            raise refuse(codes.MISSING_EXTRA, message, f"`pip install 'netdsl[{extra}]'`") from None
    import torch

    return torch


def _guarded(work: Callable[[], Any], otherwise: str) -> Any:
    """PyTorch's own work, silent; whatever it raises is one message."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()
    except Exception as error:
        reason = shown(" ".join(str(error).split())) or type(error).__name__
        raise refuse(codes.NOT_EXPRESSIBLE, f"{otherwise}: {reason}") from None


@contextmanager
def _weights_only() -> Iterator[None]:
    """While this lasts, `torch.load` refuses everything but tensors, even where PyTorch itself asks for more."""
    before = os.environ.get(FORCED)
    os.environ[FORCED] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[FORCED]
        else:
            os.environ[FORCED] = before


def _check_archive(path: str, limits: Limits) -> None:
    try:
        with files.opened(path) as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except zipfile.BadZipFile:
        raise malformed(f"{path} is no whole archive, which torch.export writes") from None
    except (OSError, ValueError) as error:
        raise refuse(codes.CANNOT_READ, f"cannot read {path}: {files.reason(error)}") from None
    size = sum(entry.file_size for entry in entries)
    if size > limits.weight_bytes:
        raise refuse(codes.WEIGHTS_TOO_LARGE, f"{path} unpacks to {size} bytes; at most {limits.weight_bytes} are read")
    if len(entries) > limits.layers:
        raise refuse(codes.TOO_MANY_LAYERS, f"{path} holds {len(entries)} files; at most {limits.layers} are read")
    for entry in entries:
        if os.path.basename(entry.filename).startswith(PICKLED):
            message = f"{path} holds the object {shown(entry.filename)}, which only unpickling could read"
            raise refuse(codes.NOT_EXPRESSIBLE, message)
