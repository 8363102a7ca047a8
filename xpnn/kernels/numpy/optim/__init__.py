"""Optimizers, in NumPy."""

from xpnn.kernels.numpy.optim import bundles, updates

__all__ = ["bundles", "updates"]
