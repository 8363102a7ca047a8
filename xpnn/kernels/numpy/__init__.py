"""Kernels for NumPy."""

from xpnn.kernels.numpy import (
    activation,
    attention,
    batch_norm,
    conv,
    cross_entropy,
    layer_norm,
    memory,
    optim,
    parameter_group,
    pool,
    rnn,
    softmax,
)

__all__ = [
    "activation",
    "attention",
    "batch_norm",
    "conv",
    "cross_entropy",
    "layer_norm",
    "memory",
    "optim",
    "parameter_group",
    "pool",
    "rnn",
    "softmax",
]
