"""Kernels for CuPy: CUDA C++, compiled at first use (see `launching.py`)."""

from xpnn.kernels.cupy import (
    activation,
    conv,
    dropout,
    embedding,
    linear,
    loss,
    norm,
    optim,
    pool,
    recurrent,
)

__all__ = [
    "activation",
    "conv",
    "dropout",
    "embedding",
    "linear",
    "loss",
    "norm",
    "optim",
    "pool",
    "recurrent",
]
