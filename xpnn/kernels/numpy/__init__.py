"""Kernels for NumPy."""

from xpnn.kernels.numpy import (
    activation,
    attention,
    conv,
    dropout,
    embedding,
    linear,
    loss,
    memory,
    norm,
    ops,
    optim,
    pool,
    products,
    recurrent,
    shape,
)

__all__ = [
    "activation",
    "attention",
    "conv",
    "dropout",
    "embedding",
    "linear",
    "loss",
    "memory",
    "norm",
    "ops",
    "optim",
    "pool",
    "products",
    "recurrent",
    "shape",
]
