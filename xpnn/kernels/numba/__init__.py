"""Kernels for NumPy that Numba compiles; they are asked before NumPy's own."""

from xpnn.kernels.numba import activation, conv, dropout, embedding, norm, optim, pool, recurrent

__all__ = ["activation", "conv", "dropout", "embedding", "norm", "optim", "pool", "recurrent"]
