"""Kernels for CuPy: CUDA C++, compiled at first use (see `launching.py`)."""

from xpnn.kernels.cupy import (
    activation,
    attention,
    conv,
    dropout,
    embedding,
    linear,
    loss,
    norm,
    ops,
    optim,
    pool,
    recurrent,
)

__all__ = [
    "activation",
    "attention",
    "conv",
    "dropout",
    "embedding",
    "linear",
    "loss",
    "norm",
    "ops",
    "optim",
    "pool",
    "recurrent",
]
