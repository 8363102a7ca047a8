"""The affine layer by PyTorch's own, which adds the bias as it multiplies."""

from __future__ import annotations

import torch

from xpnn.backend import kernel
from xpnn.kernels.torch.graph import Array, on_gpu


@kernel("torch", "linear", half=on_gpu)
def linear(x: Array, w: Array, b: Array | None) -> tuple[Array, tuple]:
    """The reference's `_linear`, with its backward."""
    return torch.nn.functional.linear(x, w, b), (x, w)
