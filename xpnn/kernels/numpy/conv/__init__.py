"""Convolution, in NumPy."""

from xpnn.kernels.numpy.conv import batch_innermost, methods, volumes

__all__ = ["batch_innermost", "methods", "volumes"]
