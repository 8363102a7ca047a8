"""Activations, in NumPy."""

from xpnn.kernels.numpy.activation import pointwise, softmax

__all__ = ["pointwise", "softmax"]
