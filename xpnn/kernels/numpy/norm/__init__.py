"""Normalisation, in NumPy."""

from xpnn.kernels.numpy.norm import batch, group, layer

__all__ = ["batch", "group", "layer"]
