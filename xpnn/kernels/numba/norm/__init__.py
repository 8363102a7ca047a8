"""Normalisation, compiled by Numba."""

from xpnn.kernels.numba.norm import batch, layer

__all__ = ["batch", "layer"]
