"""Pooling of images by PyTorch's own routines, where it knows the padding: the same on both sides."""

from __future__ import annotations

from typing import Any

import torch

from xpnn.backend import kernel

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def _symmetric_images(x: torch.Tensor, *, padding: Pairs, **options: Any) -> bool:
    return x.ndim == 4 and x.shape[0] > 0 and all(before == after for before, after in padding)


def _meets_every_window(x: torch.Tensor, *, dilation: Sizes, **options: Any) -> bool:
    """Whether no window has the image between two of its cells: PyTorch's winner of that lies outside."""
    return _symmetric_images(x, **options) and all(n >= d for n, d in zip(x.shape[2:], dilation))


@kernel("torch", "max_pool", when=_meets_every_window)
def max_pool(
    x: torch.Tensor, *, kernel_size: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes
) -> tuple[torch.Tensor, tuple]:
    """The reference's `_max_pool`; saves PyTorch's indices of the winners."""
    y, indices = torch.ops.aten.max_pool2d_with_indices(x, kernel_size, stride, _both(padding), dilation)
    return y, (x, indices)


@max_pool.backward
def _max_pool_backward(
    gy: torch.Tensor,
    saved: tuple,
    needs: tuple[bool, ...],
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
) -> tuple[torch.Tensor]:
    x, indices = saved
    gx = torch.ops.aten.max_pool2d_with_indices_backward(
        gy, x, kernel_size, stride, _both(padding), dilation, False, indices
    )
    return (gx,)


@kernel("torch", "sum_pool", when=_symmetric_images)
def sum_pool(
    x: torch.Tensor, *, kernel_size: Sizes, stride: Sizes, padding: Pairs
) -> tuple[torch.Tensor, tuple]:
    """The reference's `_sum_pool`: an average divided by one."""
    y = torch.nn.functional.avg_pool2d(x, kernel_size, stride, _both(padding), divisor_override=1)
    return y, (tuple(x.shape[2:]),)


@kernel("torch", "spread_over_windows", when=_symmetric_images)
def spread_over_windows(
    gy: torch.Tensor, *, size: Sizes, kernel_size: Sizes, stride: Sizes, padding: Pairs
) -> tuple[torch.Tensor, tuple]:
    """The reference's `_spread_over_windows`."""
    x = gy.new_empty((*gy.shape[:2], *size))
    gx = torch.ops.aten.avg_pool2d_backward(gy, x, kernel_size, stride, _both(padding), False, True, 1)
    return gx, ()


def _both(padding: Pairs) -> list[int]:
    """The padding of each axis on either side."""
    return [before for before, _ in padding]
