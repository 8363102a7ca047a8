"""Kernels for PyTorch: its own routines, with their gradients."""

from xpnn.kernels.torch import attention, conv, graph, pool, rnn

__all__ = ["attention", "conv", "graph", "pool", "rnn"]
