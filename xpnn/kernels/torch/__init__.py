"""Kernels for PyTorch: its own routines, with their gradients."""

from xpnn.kernels.torch import activation, attention, conv, graph, layer_norm, linear, optim, pool, rnn

__all__ = ["activation", "attention", "conv", "graph", "layer_norm", "linear", "optim", "pool", "rnn"]
