"""Kernels for NumPy."""

from xpnn.kernels.numpy import attention, conv, memory, pool, rnn

memory.keep_pages()

__all__ = ["attention", "conv", "pool", "rnn"]
