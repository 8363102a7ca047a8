"""Kernels for PyTorch: its own routines, with their gradients."""

from xpnn.kernels.torch import conv, graph, pool, rnn

__all__ = ["conv", "graph", "pool", "rnn"]
