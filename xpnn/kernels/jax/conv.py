"""Convolution by XLA; its gradients are the transposes that JAX derives of it, as it is linear.

Each is compiled, once for each shape, so that it is fast outside of `jax.jit` too.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax

from xpnn.backend import kernel

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]

_WINDOW = ("stride", "padding", "dilation", "groups")


@kernel("jax", "conv")
def conv(
    x: jax.Array,
    w: jax.Array,
    b: jax.Array | None,
    *,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
) -> tuple[jax.Array, tuple]:
    """The reference's `conv`."""
    y = _convolve(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)
    if b is not None:
        y = y + b.reshape(-1, *(1,) * len(stride))
    return y, (x, w)


@kernel("jax", "conv_input_gradient")
def conv_input_gradient(
    gy: jax.Array,
    w: jax.Array,
    *,
    size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
) -> tuple[jax.Array, tuple]:
    """The reference's `conv_input_gradient`."""
    window = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return _input_gradient(gy, w, size=size, **window), (gy, w)


@kernel("jax", "conv_weight_gradient")
def conv_weight_gradient(
    x: jax.Array,
    gy: jax.Array,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
) -> tuple[jax.Array, tuple]:
    """The reference's `conv_weight_gradient`."""
    window = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return _weight_gradient(x, gy, kernel_size=kernel_size, **window), (x, gy)


@partial(jax.jit, static_argnames=_WINDOW)
def _convolve(
    x: jax.Array, w: jax.Array, *, stride: Sizes, padding: Pairs, dilation: Sizes, groups: int
) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, w, stride, padding, rhs_dilation=dilation, feature_group_count=groups
    )


@partial(jax.jit, static_argnames=("size", *_WINDOW))
def _input_gradient(gy: jax.Array, w: jax.Array, *, size: Sizes, groups: int, **window: Any) -> jax.Array:
    x = jax.ShapeDtypeStruct((gy.shape[0], w.shape[1] * groups, *size), gy.dtype)
    return jax.linear_transpose(lambda x: _convolve(x, w, groups=groups, **window), x)(gy)[0]


@partial(jax.jit, static_argnames=("kernel_size", *_WINDOW))
def _weight_gradient(
    x: jax.Array, gy: jax.Array, *, kernel_size: Sizes, groups: int, **window: Any
) -> jax.Array:
    w = jax.ShapeDtypeStruct((gy.shape[1], x.shape[1] // groups, *kernel_size), gy.dtype)
    return jax.linear_transpose(lambda w: _convolve(x, w, groups=groups, **window), w)(gy)[0]
