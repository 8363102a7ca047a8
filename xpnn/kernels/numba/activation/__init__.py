"""Activations, compiled by Numba."""

from xpnn.kernels.numba.activation import pointwise, softmax

__all__ = ["pointwise", "softmax"]
