"""Kernels for PyTorch: its own convolution and pooling, with their gradients."""

from xpnn.kernels.torch import conv, pool

__all__ = ["conv", "pool"]
