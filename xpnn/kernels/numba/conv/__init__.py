"""Convolution, compiled by Numba."""

from xpnn.kernels.numba.conv import methods

__all__ = ["methods"]
