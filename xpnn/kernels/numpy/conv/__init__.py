"""Convolution, in NumPy."""

from xpnn.kernels.numpy.conv import methods, pooled

__all__ = ["methods", "pooled"]
