"""The Triton backend: generated kernels for NVIDIA GPUs."""
