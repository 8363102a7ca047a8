"""Kernels for PyTorch: its own routines, with their gradients."""

from xpnn.kernels.torch import activation, attention, conv, linear, norm, optim, pool, recurrent

__all__ = ["activation", "attention", "conv", "linear", "norm", "optim", "pool", "recurrent"]
