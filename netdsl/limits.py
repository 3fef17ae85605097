"""Stated limits. Each is checked before the work it bounds, and can be raised (`--limit NAME=VALUE`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one program may ask for; a program that meets one is refused with an E09xx error."""

    file_bytes: int = 256 * 1024
    name_length: int = 200
    nesting: int = 100
    used_files: int = 100
    layers: int = 100_000
    loop_iterations: int = 120_000
    block_calls: int = 20_000
    statements: int = 300_000
    operands: int = 200_000
    list_length: int = 100_000
    list_items: int = 2_000_000
    integer_bits: int = 256
    tensor_elements: int = 2**40
    rank: int = 8
    weight_header_bytes: int = 8 * 2**20
    weight_bytes: int = 16 * 2**30
    activation_bytes: int = 16 * 2**30
    errors_shown: int = 20


DEFAULT_LIMITS = Limits()
