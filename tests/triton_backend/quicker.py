"""Triton's interpreter, quicker: what it makes anew for every value of every operation is made once.

A block's type, its shape and the NumPy type of its elements are the same objects wherever they are equal. That whole
numbers of 32 bits stay within them is still looked at after every sum, difference and product, in one step instead of
eight. What kernels compute and what is refused stays the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from triton.language import core
from triton.language.semantic import TritonSemantic
from triton.runtime import interpreter


def quicken() -> None:
    """From now on, in this process."""
    core.block_type.__new__, core.block_type.__init__ = shared_type, once
    core.tensor.__init__ = sharing
    interpreter._get_np_dtype = numpy_type
    TritonSemantic.binary_op_sanitize_overflow_impl = within_bounds
    TritonSemantic.binary_op_type_checking_impl = operands
    core.dtype.__eq__ = equal
    core._unwrap_if_constexpr = plain
    interpreter._patch_lang = interpreting


TYPES: dict[Any, Any] = {}
MAKE = core.block_type.__init__


def shared_type(kind: type[Any], element: Any, shape: Any) -> Any:
    key = (element.name, *[getattr(extent, "value", extent) for extent in shape])
    found = TYPES.get(key)
    if found is None or found.element_ty != element:
        found = object.__new__(kind)
        MAKE(found, element, shape)
        TYPES[key] = found
    return found


def once(self: Any, element: Any, shape: Any) -> None:
    """`shared_type` has made it."""


NEW = core.tensor.__init__


def sharing(self: Any, handle: Any, type: Any) -> None:
    """A tensor: its shape and its number of elements are those of the last tensor of this very type."""
    shared = type.__dict__.get("shared")
    if shared is None:
        NEW(self, handle, type)
        type.shared = {name: value for name, value in vars(self).items() if name != "handle"}
    else:
        vars(self).update(shared)
        self.handle = handle


NUMPY_TYPES: dict[str, Any] = {}
NUMPY_TYPE = interpreter._get_np_dtype


def numpy_type(kind: Any) -> Any:
    if kind.name not in NUMPY_TYPES:
        NUMPY_TYPES[kind.name] = NUMPY_TYPE(kind)
    return NUMPY_TYPES[kind.name]


EXACT = {"add": np.add, "sub": np.subtract, "mul": np.multiply}


def within_bounds(self: Any, lhs: Any, rhs: Any, operation: Any) -> None:
    """What Triton computes in as many operations on 64 bits: whether a sum, difference or product overflows."""
    kind = lhs.type.scalar
    if kind.int_bitwidth >= 64:
        return
    exact = EXACT[operation.__name__](lhs.handle.data, rhs.handle.data, dtype=np.int64)
    if exact.size and not kind.get_int_min_value() <= exact.min() <= exact.max() <= kind.get_int_max_value():
        raise AssertionError(f"int{kind.int_bitwidth} overflow detected for operation {operation.__name__}")


CHECK = TritonSemantic.binary_op_type_checking_impl
UNCHANGED = {core.int32, core.int64, core.float32, core.int1}
"""What stays what it is, with another of its kind, in any operation."""


def operands(self: Any, lhs: Any, rhs: Any, *flags: bool, **named: bool) -> tuple[Any, Any]:
    """Both operands of an operation, of one type. What becomes of a number is kept with the type of the other."""
    if type(lhs) is core.tensor and type(rhs) is core.tensor:
        if lhs.type is rhs.type and lhs.dtype in UNCHANGED:
            return lhs, rhs
        return CHECK(self, lhs, rhs, *flags, **named)
    number, tensor = (rhs, lhs) if type(lhs) is core.tensor else (lhs, rhs)
    if type(tensor) is not core.tensor or type(number) not in (int, float):
        return CHECK(self, lhs, rhs, *flags, **named)
    kept = tensor.type.__dict__.setdefault("numbers", {})
    key = (number.hex() if type(number) is float else number, number is rhs, flags, *named.items())
    if key not in kept:
        found = CHECK(self, lhs, rhs, *flags, **named)
        if found[tensor is rhs] is not tensor:
            return found
        handle = found[number is rhs].handle
        handle.data = np.broadcast_to(handle.data.flat[0], handle.data.shape)
        kept[key] = found[number is rhs]
    return (lhs, kept[key]) if number is rhs else (kept[key], rhs)


EQUAL = core.dtype.__eq__


def equal(self: Any, other: Any) -> bool:
    return self is other or EQUAL(self, other)


UNWRAP = core._unwrap_if_constexpr
PLAIN = {int, bool, float, str, type(None), core.tensor, core.dtype, core.block_type, core.pointer_type}


def plain(value: Any) -> Any:
    if type(value) is core.constexpr:
        return value.value
    return value if type(value) in PLAIN else UNWRAP(value)


PATCH = interpreter._patch_lang
PATCHED: set[bool] = set()


def interpreting(kernel: Any) -> Any:
    """Make the language's functions compute, once: they go on doing so, as this process compiles nothing."""
    if (library := "core" in kernel.__globals__) not in PATCHED:
        PATCH(kernel)
        PATCHED.add(library)
    return interpreter._LangPatchScope()
