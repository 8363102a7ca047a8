"""Activations for CuPy."""

from xpnn.kernels.cupy.activation import pointwise, softmax

__all__ = ["pointwise", "softmax"]
