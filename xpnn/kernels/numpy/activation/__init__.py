"""Activations, in NumPy."""

from xpnn.kernels.numpy.activation import pointwise, rectified, softmax

__all__ = ["pointwise", "rectified", "softmax"]
