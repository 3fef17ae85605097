"""Nets without a public implementation, written from their papers as PyTorch modules. Each file has its `CASES`."""
