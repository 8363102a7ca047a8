"""Kernels for NumPy that Numba compiles; they are asked before NumPy's own."""

from xpnn.kernels.numba import (
    activation,
    batch_norm,
    conv,
    conv_methods,
    depthwise,
    dropout,
    embedding,
    layer_norm,
    lstm,
    optim,
    pool,
    softmax,
)

__all__ = [
    "activation",
    "batch_norm",
    "conv",
    "conv_methods",
    "depthwise",
    "dropout",
    "embedding",
    "layer_norm",
    "lstm",
    "optim",
    "pool",
    "softmax",
]
