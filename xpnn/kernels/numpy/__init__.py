"""Kernels for NumPy."""

from xpnn.kernels.numpy import attention, conv, pool, rnn

__all__ = ["attention", "conv", "pool", "rnn"]
