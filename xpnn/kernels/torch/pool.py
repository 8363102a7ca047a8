"""Pooling by PyTorch's own routines, where it knows the padding: the same on both sides.

A sequence is an image of one row.
"""

from __future__ import annotations

from typing import Any

import torch

from xpnn.backend import kernel

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]

_aten = torch.ops.aten

_MAX = {2: _aten.max_pool2d_with_indices, 3: _aten.max_pool3d_with_indices}
_MAX_BACKWARD = {2: _aten.max_pool2d_with_indices_backward, 3: _aten.max_pool3d_with_indices_backward}
_AVERAGE = {2: _aten.avg_pool2d, 3: _aten.avg_pool3d}
_AVERAGE_BACKWARD = {2: _aten.avg_pool2d_backward, 3: _aten.avg_pool3d_backward}
_ADAPTIVE = {2: _aten._adaptive_avg_pool2d, 3: _aten._adaptive_avg_pool3d}
_ADAPTIVE_BACKWARD = {2: _aten._adaptive_avg_pool2d_backward, 3: _aten._adaptive_avg_pool3d_backward}


def _is_symmetric(x: torch.Tensor, *, padding: Pairs, **options: Any) -> bool:
    return 3 <= x.ndim <= 5 and x.numel() > 0 and all(before == after for before, after in padding)


def _meets_every_window(x: torch.Tensor, *, dilation: Sizes, **options: Any) -> bool:
    """Whether no window has the image between two of its cells: PyTorch's winner of that lies outside."""
    return _is_symmetric(x, **options) and all(n >= d for n, d in zip(x.shape[2:], dilation))


@kernel("torch", "max_pool", when=_meets_every_window)
def max_pool(
    x: torch.Tensor, *, kernel_size: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes
) -> tuple[torch.Tensor, tuple]:
    """The reference's `_max_pool`; saves PyTorch's indices of the winners, which cost much for sequences."""
    if x.ndim == 3:
        return torch.max_pool1d(x, kernel_size, stride, padding[0][0], dilation), (x, None)
    window = _window(kernel_size, stride, padding, dilation)
    y, indices = _MAX[x.ndim - 2](x, *window)
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
    images = _images(x)
    window = _window(kernel_size, stride, padding, dilation)
    if indices is None:
        _, indices = _MAX[images.ndim - 2](images, *window)
    gx = _MAX_BACKWARD[images.ndim - 2](_images(gy), images, *window, False, indices)
    return (_like(x, gx),)


@kernel("torch", "sum_pool", when=_is_symmetric)
def sum_pool(
    x: torch.Tensor, *, kernel_size: Sizes, stride: Sizes, padding: Pairs
) -> tuple[torch.Tensor, tuple]:
    """The reference's `_sum_pool`: an average divided by one."""
    images = _images(x)
    y = _AVERAGE[images.ndim - 2](images, *_window(kernel_size, stride, padding), False, True, 1)
    return _like(x, y), (tuple(x.shape[2:]),)


@kernel("torch", "spread_over_windows", when=_is_symmetric)
def spread_over_windows(
    gy: torch.Tensor, *, size: Sizes, kernel_size: Sizes, stride: Sizes, padding: Pairs
) -> tuple[torch.Tensor, tuple]:
    """The reference's `_spread_over_windows`."""
    x = _images(gy.new_empty((*gy.shape[:2], *size)))
    window = _window(kernel_size, stride, padding)
    gx = _AVERAGE_BACKWARD[x.ndim - 2](_images(gy), x, *window, False, True, 1)
    return _like(gy, gx), ()


def _has_cells(x: torch.Tensor, **options: Any) -> bool:
    return 3 <= x.ndim <= 5 and x.numel() > 0


@kernel("torch", "adaptive_means", when=_has_cells)
def adaptive_means(x: torch.Tensor, *, windows: Sizes) -> tuple[torch.Tensor, tuple]:
    """The reference's `_adaptive_means`."""
    images = _images(x)
    size = windows if len(windows) > 1 else (1, *windows)
    return _like(x, _ADAPTIVE[images.ndim - 2](images, size)), (tuple(x.shape[2:]),)


@kernel("torch", "share_over_windows", when=_has_cells)
def share_over_windows(gy: torch.Tensor, *, size: Sizes) -> tuple[torch.Tensor, tuple]:
    """The reference's `_share_over_windows`."""
    x = _images(gy.new_empty((*gy.shape[:2], *size)))
    return _like(gy, _ADAPTIVE_BACKWARD[x.ndim - 2](_images(gy), x)), (tuple(gy.shape[2:]),)


def _images(x: torch.Tensor) -> torch.Tensor:
    """Sequences as images of one row; others as they are."""
    return x.unsqueeze(2) if x.ndim == 3 else x


def _like(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Undo `_images` of an array like `x`."""
    return y.squeeze(2) if x.ndim == 3 else y


def _window(kernel_size: Sizes, stride: Sizes, padding: Pairs, *dilation: Sizes) -> list[Sizes]:
    """The sizes of a window as PyTorch takes them, with a row's for sequences."""
    sizes = [kernel_size, stride, tuple(before for before, _ in padding), *dilation]
    if len(kernel_size) > 1:
        return sizes
    return [(row, *along) for row, along in zip((1, 1, 0, 1), sizes)]
