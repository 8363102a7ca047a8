"""Kernels for NumPy."""

from xpnn.kernels.numpy import attention, conv, memory, pool, rnn

__all__ = ["attention", "conv", "memory", "pool", "rnn"]
