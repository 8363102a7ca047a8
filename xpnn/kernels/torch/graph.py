"""Native gradients: PyTorch's own tape, recorded by a forward and walked by its backward.

A kernel's forward runs PyTorch's function on `leaves` under `torch.enable_grad()` and saves the results with
their graph; its backward asks for `gradients`. The graph lives as long as what the kernel saved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from xpnn.backend import concrete

Array = torch.Tensor


def no_user_graph(*arrays: Array | None, **options: Any) -> bool:
    """Guard: whether neither PyTorch's tape nor `torch.func` follows the arrays: they would lose track."""
    return not any(isinstance(a, Array) and (a.requires_grad or not concrete(a)) for a in arrays)


def on_gpu(x: Array, *arrays: Array | None, **options: Any) -> bool:
    """Guard for half precision: a GPU's libraries sum up in float32, the CPU's in part in half precision."""
    return x.device.type == "cuda"


def leaves(*arrays: Array | None) -> list[Any]:
    """The same memory as beginnings of a graph; None for what is left out."""
    return [None if a is None else a.detach().requires_grad_() for a in arrays]


def gradients(
    outputs: Sequence[Array], above: Sequence[Array | None], leaves: Sequence[Array | None]
) -> list[Array | None]:
    """The gradient of each leaf from those above, of the outputs that have one.

    The graph is kept: it may be walked again, and is freed with the outputs.
    """
    reached = [(y, gy) for y, gy in zip(outputs, above) if gy is not None]
    given = [leaf for leaf in leaves if leaf is not None]
    found = iter(
        torch.autograd.grad(
            [y for y, _ in reached], given, [gy for _, gy in reached], retain_graph=True, allow_unused=True
        )
    )
    return [None if leaf is None else _or_zeros(next(found), leaf) for leaf in leaves]


def _or_zeros(gradient: Array | None, leaf: Array) -> Array:
    """What does not reach the outputs has a gradient, too: zeros."""
    return torch.zeros_like(leaf) if gradient is None else gradient
