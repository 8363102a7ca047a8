"""The switches of PyTorch's CUDA products: they can be set, as programs do, and change nothing."""

from __future__ import annotations

from types import SimpleNamespace

matmul = SimpleNamespace(allow_tf32=False, allow_fp16_reduced_precision_reduction=False)


def is_built() -> bool:
    """Whether GPUs can be computed on at all: by CuPy, PyTorch or JAX where they are installed."""
    return True
