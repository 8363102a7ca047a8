"""Kernels for NumPy."""

from xpnn.kernels.numpy import conv, pool

__all__ = ["conv", "pool"]
