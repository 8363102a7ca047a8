"""Convolution, compiled by Numba."""

from xpnn.kernels.numba.conv import depthwise, few_channels, methods

__all__ = ["depthwise", "few_channels", "methods"]
