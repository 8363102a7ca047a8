"""Kernels for NumPy."""

from xpnn.kernels.numpy import (
    activation,
    attention,
    batch_norm,
    conv,
    cross_entropy,
    dropout,
    layer_norm,
    linear,
    memory,
    optim,
    parameter_group,
    pool,
    products,
    rnn,
    softmax,
)

__all__ = [
    "activation",
    "attention",
    "batch_norm",
    "conv",
    "cross_entropy",
    "dropout",
    "layer_norm",
    "linear",
    "memory",
    "optim",
    "parameter_group",
    "pool",
    "products",
    "rnn",
    "softmax",
]
