"""Convolution by PyTorch's own routines (oneDNN, cuDNN)."""

from __future__ import annotations

from typing import Any

import torch

from xpnn.backend import kernel
from xpnn.kernels.torch.graph import on_gpu

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def _has_channels(x: torch.Tensor, w: torch.Tensor, *others: Any, **options: Any) -> bool:
    """PyTorch refuses kernels without channels."""
    return 0 not in w.shape


def _both_have_channels(x: torch.Tensor, gy: torch.Tensor, **options: Any) -> bool:
    return x.shape[1] > 0 and gy.shape[1] > 0


@kernel("torch", "conv", when=_has_channels, half=on_gpu)
def conv(
    x: torch.Tensor,
    w: torch.Tensor,
    b: torch.Tensor | None,
    *,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
) -> tuple[torch.Tensor, tuple]:
    """The reference's `conv`."""
    common, _ = _split_padding(padding)
    no_output_padding = (0,) * len(stride)
    y = torch.convolution(
        _pad_rest(x, padding), w, b, stride, common, dilation, False, no_output_padding, groups
    )
    return y, (x, w)


@kernel("torch", "conv_input_gradient", when=_has_channels, half=on_gpu)
def conv_input_gradient(
    gy: torch.Tensor,
    w: torch.Tensor,
    *,
    size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
) -> tuple[torch.Tensor, tuple]:
    """The reference's `conv_input_gradient`."""
    common, rest = _split_padding(padding)
    padded = [cells + before + after for cells, (before, after) in zip(size, rest)]
    shape_of_x = gy.new_empty(1).expand(gy.shape[0], w.shape[1] * groups, *padded)
    gx = _gradients(gy, shape_of_x, w, stride, common, dilation, groups, (True, False, False))[0]
    for axis, (cells, (before, _)) in enumerate(zip(size, rest), start=2):
        gx = gx.narrow(axis, before, cells)
    return gx, (gy, w)


@kernel("torch", "conv_weight_gradient", when=_both_have_channels, half=on_gpu)
def conv_weight_gradient(
    x: torch.Tensor,
    gy: torch.Tensor,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
) -> tuple[torch.Tensor, tuple]:
    """The reference's `conv_weight_gradient`."""
    common, _ = _split_padding(padding)
    shape_of_w = gy.new_empty(1).expand(gy.shape[1], x.shape[1] // groups, *kernel_size)
    padded = _pad_rest(x, padding)
    gw = _gradients(gy, padded, shape_of_w, stride, common, dilation, groups, (False, True, False))[1]
    return gw, (x, gy)


def _gradients(
    gy: torch.Tensor,
    x: torch.Tensor,
    w: torch.Tensor,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
    wanted: tuple[bool, bool, bool],
) -> tuple:
    """The gradients by input, weight and bias; where an array does not matter, its shape does."""
    no_output_padding = (0,) * len(stride)
    return torch.ops.aten.convolution_backward(
        gy, x, w, None, stride, padding, dilation, False, no_output_padding, groups, wanted
    )


def _split_padding(padding: Pairs) -> tuple[Sizes, Pairs]:
    """What PyTorch's convolution pads on both sides, and the rest of it."""
    common = tuple(min(pair) for pair in padding)
    return common, tuple((before - p, after - p) for p, (before, after) in zip(common, padding))


def _pad_rest(x: torch.Tensor, padding: Pairs) -> torch.Tensor:
    _, rest = _split_padding(padding)
    if all(pair == (0, 0) for pair in rest):
        return x
    return torch.nn.functional.pad(x, [cells for pair in reversed(rest) for cells in pair])
