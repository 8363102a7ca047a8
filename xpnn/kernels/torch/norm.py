"""Layer norm by PyTorch's own operation: one pass over the input instead of eight."""

from __future__ import annotations

import torch

from xpnn.backend import kernel
from xpnn.kernels.torch.graph import Array


@kernel("torch", "layer_norm", when=lambda x, w, b, **options: x.numel() > 0)
def layer_norm(
    x: Array, w: Array | None, b: Array | None, *, features: int, eps: float
) -> tuple[tuple[Array, Array, Array], tuple]:
    """The reference's `_layer_norm`; saves 1 / sqrt(variance + eps) as PyTorch computes it."""
    y, mean, scale = torch.native_layer_norm(x, x.shape[-features:], w, b, eps)
    variance = (scale * scale).reciprocal() - eps
    return (y, mean.to(x.dtype), variance.to(x.dtype)), (x, w, b, mean, scale)


@layer_norm.backward
def _layer_norm_backward(
    gradients: tuple, saved: tuple, needs: tuple[bool, ...], *, features: int, eps: float
) -> tuple[Array | None, ...]:
    x, w, b, mean, scale = saved
    gy, gmean, gvariance = gradients
    gy = torch.zeros_like(x) if gy is None else gy
    shape = x.shape[-features:]
    wanted = [needs[0], needs[1] and w is not None, needs[2] and b is not None]
    gx, gw, gb = torch.ops.aten.native_layer_norm_backward(gy, x, shape, mean, scale, w, b, wanted)
    if needs[0] and gmean is not None:
        gx = gx + gmean / shape.numel()
    if needs[0] and gvariance is not None:
        gx = gx + (x - mean.to(x.dtype)) * (2 * gvariance / shape.numel())
    return gx, gw, gb
