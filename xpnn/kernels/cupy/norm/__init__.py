"""Norms for CuPy."""

from xpnn.kernels.cupy.norm import batch, rows

__all__ = ["batch", "rows"]
