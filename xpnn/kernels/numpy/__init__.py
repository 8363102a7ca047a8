"""Kernels for NumPy."""

from xpnn.kernels.numpy import conv, pool, rnn

__all__ = ["conv", "pool", "rnn"]
