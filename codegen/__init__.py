"""Backends: graph -> plan (kernels, launches, buffers) -> one generated Python file."""
