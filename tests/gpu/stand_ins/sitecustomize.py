"""A GPU made of the CPU: with this folder on PYTHONPATH, Python's processes believe that there is one, sm_90.

What is written for a GPU is walked through before a GPU is there: every statement of it runs, on tensors that say they
are on `cuda:0`; Triton interprets kernels; CUDA graphs replay what they recorded. Times mean nothing.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"

import torch
import triton
import triton.language as tl
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from triton.runtime import interpreter

FLUSH = 1 << 24
"""Bytes from which on a tensor is only there to flush a cache."""

plain = torch._C.DisableTorchFunction
"""The context in which tensors say where they are."""


class OnCpu(TorchFunctionMode):
    """Tensors for a GPU are made on the CPU; all say that they are on the GPU."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func == torch.Tensor.device.__get__:  # type: ignore[attr-defined]
            return torch.device("cuda", 0)
        if func == torch.Tensor.cuda:
            return args[0]
        if func is torch.device:
            return func(*args, **(kwargs or {}))
        if func is torch.empty and args and isinstance(args[0], int) and args[0] >= FLUSH:
            args = (FLUSH,)
        kwargs = {name: _here(value) for name, value in (kwargs or {}).items()}
        return func(*map(_here, args), **kwargs)


def _here(value: Any) -> Any:
    names_gpu = isinstance(value, str | torch.device) and str(value).startswith("cuda")
    return torch.device("cpu") if names_gpu else value


class Graph:
    """A CUDA graph: what is queued while it is recorded. Kernels do not run then, PyTorch's operators do."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def replay(self) -> None:
        assert recording() is None
        with plain():
            for call in self.calls:
                call()


class Recorder(TorchDispatchMode):
    """Notes PyTorch's operators; when they are done again, results go where they went first."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        first = func(*args, **(kwargs or {}))
        graph = recording()
        assert graph is not None

        def again() -> None:
            made = func(*args, **(kwargs or {}))
            if isinstance(first, torch.Tensor) and made.data_ptr() != first.data_ptr():
                first.copy_(made)

        if "empty" not in str(func):
            graph.calls.append(again)
        return first


_local = threading.local()


def recording() -> Graph | None:
    """The graph that this thread records."""
    return getattr(_local, "graph", None)


@contextmanager
def record(graph: Graph, **_: Any) -> Iterator[None]:
    _local.graph = graph
    try:
        with Recorder():
            yield
    finally:
        _local.graph = None


class Event:
    def __init__(self, enable_timing: bool = False) -> None:
        self.timing = enable_timing
        self.at: float | None = None

    def record(self, stream: Any = None) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None:
        assert self.at is not None

    def elapsed_time(self, end: Event) -> float:
        assert self.timing
        assert end.timing
        assert self.at is not None
        assert end.at is not None
        return max(end.at - self.at, 1e-6) * 1e3


class Profile:
    """Counts kernels, as far as they are ours."""

    def __init__(self, activities: Any) -> None:
        self.names: list[str] = []

    def __enter__(self) -> Profile:
        _local.profile = self
        return self

    def __exit__(self, *_: object) -> None:
        _local.profile = None

    def events(self) -> list[Any]:
        return [SimpleNamespace(name=name, device_type=torch.autograd.DeviceType.CUDA) for name in self.names]


class Stream:
    def __init__(self, device: Any = None) -> None:
        self.cuda_stream = id(self)

    def wait_stream(self, other: Stream) -> None:
        assert isinstance(other, Stream)

    def wait_event(self, event: Event) -> None:
        assert isinstance(event, Event)

    def synchronize(self) -> None:
        pass


FIRST = Stream()


def current_stream(device: Any = None) -> Stream:
    return getattr(_local, "stream", FIRST)


@contextmanager
def use_stream(stream: Stream) -> Iterator[None]:
    before = current_stream()
    _local.stream = stream
    try:
        yield
    finally:
        _local.stream = before


def run_kernel(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
    """Interpret a launch, or record it. Options that the interpreter does not know are those of the launch itself."""
    options.pop("launch_pdl", None)

    def call() -> None:
        if getattr(_local, "profile", None):
            _local.profile.names.append(self.__name__)
        with one_at_a_time:  # the interpreter changes Triton's own functions while it runs
            triton.knobs.runtime.interpret = True
            _run(self, *args, grid=grid, warmup=warmup, **options)
            triton.knobs.runtime.interpret = False

    graph = recording()
    if graph is not None:
        graph.calls.append(call)
        return
    with plain():
        call()


def convolution_relu(x: Any, weight: Any, bias: Any, *settings: Any) -> Any:
    return torch.relu(torch.conv2d(x, weight, bias, *settings))


def convolution_add_relu(x: Any, weight: Any, z: Any, alpha: Any, bias: Any, *settings: Any) -> Any:
    return torch.relu(torch.conv2d(x, weight, bias, *settings) + alpha * z)


one_at_a_time = threading.Lock()
_run = interpreter.InterpretedFunction.run
interpreter.InterpretedFunction.run = run_kernel
triton.jit = lambda function=None, **_: (
    interpreter.InterpretedFunction(function) if function else interpreter.InterpretedFunction
)
triton.knobs.runtime.interpret = False
for name in ("gdc_wait", "gdc_launch_dependents"):
    setattr(tl.extra.cuda, name, lambda *_, **__: None)

_thread = threading.Thread.run


def run_thread(self: threading.Thread) -> None:
    with OnCpu():
        _thread(self)


threading.Thread.run = run_thread  # type: ignore[method-assign]

torch.version.cuda = "stand-in"
torch.profiler.profile = Profile
torch.compile = lambda model, **_: model
for name, value in {
    "is_available": lambda: True,
    "device_count": lambda: 1,
    "current_device": lambda: 0,
    "get_device_name": lambda device=None: "Stand-in",
    "get_device_capability": lambda device=None: (9, 0),
    "synchronize": lambda device=None: None,
    "device": lambda device: nullcontext(),
    "Event": Event,
    "Stream": Stream,
    "stream": use_stream,
    "current_stream": current_stream,
    "CUDAGraph": Graph,
    "graph": record,
}.items():
    setattr(torch.cuda, name, value)
library = torch.library.Library("aten", "IMPL")
library.impl("cudnn_convolution_relu", convolution_relu, "CPU")
library.impl("cudnn_convolution_add_relu", convolution_add_relu, "CPU")
OnCpu().__enter__()
