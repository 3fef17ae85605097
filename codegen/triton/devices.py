"""The GPUs that the cost model knows: one of each kind for which modules hold tiles of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netdsl.tensor import DType


@dataclass(frozen=True)
class Device:
    """Figures of one GPU, from its data sheet unless said otherwise.

    target         compute capability times ten of the kind that it stands for: 80, 89, 90.
    processors     streaming multiprocessors (SMs).
    clock          cycles in a microsecond, as products run: below the highest.
    macs           multiply-accumulates a cycle in one processor, by element type; those it lacks have no entry.
    memory, l2     bytes a microsecond from device memory and from the second-level cache, as reached in practice.
    shared         bytes of shared memory in a processor; a block may have 1 KiB less.
    latency        microseconds from asking for a tile to having it.
    launch         microseconds between one kernel's end and the next one's start, inside a CUDA graph. From sm_90 on
                   programs of the next are in their places by then (programmatic dependent launch), and only wait.
    """

    name: str
    target: int
    processors: int
    clock: float
    macs: Mapping[DType, int]
    memory: float
    l2: float
    shared: int
    latency: float
    launch: float


def _macs(half: int, tf32: int, float32: int, float8: int = 0) -> dict[DType, int]:
    rates = {DType.FLOAT16: half, DType.BFLOAT16: half, DType.TF32: tf32, DType.FLOAT32: float32}
    return {**rates, DType.FLOAT8: float8} if float8 else rates


H200 = Device(
    name="H200", target=90, processors=132, clock=1600, macs=_macs(2048, 1024, 128, float8=4096),
    memory=4.3e6, l2=6.5e6, shared=228 << 10, latency=0.8, launch=0.9,
)  # fmt: skip
"""NVIDIA H200 SXM data sheet. 2 * 132 * 2048 * 1.6e9 = 865e12 FLOP/s; 4.8 TB/s of memory, 90% of it in practice."""
A100 = Device(
    name="A100", target=80, processors=108, clock=1300, macs=_macs(1024, 512, 64),
    memory=1.8e6, l2=4.0e6, shared=164 << 10, latency=0.8, launch=1.7,
)  # fmt: skip
"""NVIDIA A100 SXM 80 GB data sheet. 2 * 108 * 1024 * 1.3e9 = 288e12 FLOP/s; 2.04 TB/s of memory."""
L40 = Device(
    name="L40", target=89, processors=142, clock=2200, macs=_macs(256, 128, 128, float8=512),
    memory=0.78e6, l2=3.5e6, shared=100 << 10, latency=0.8, launch=1.5,
)  # fmt: skip
"""NVIDIA L40 data sheet. 2 * 142 * 256 * 2.2e9 = 160e12 FLOP/s; 864 GB/s of memory. Stands for sm_86 and later too."""

DEVICES = {device.target: device for device in (H200, A100, L40)}
"""By target, in the order in which modules list tiles."""
