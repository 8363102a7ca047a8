"""Optimizers, in NumPy."""

from xpnn.kernels.numpy.optim import parameter_group, updates

__all__ = ["parameter_group", "updates"]
