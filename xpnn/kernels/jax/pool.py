"""Pooling by XLA's window reductions."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from xpnn.backend import kernel

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def _dense(x: jax.Array, *, dilation: Sizes, **options: Any) -> bool:
    """XLA scatters back from dense windows only."""
    return all(d == 1 for d in dilation)


@kernel("jax", "max_pool", when=_dense)
def max_pool(
    x: jax.Array, *, kernel_size: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes
) -> tuple[jax.Array, tuple]:
    """The reference's `_max_pool`; the backward finds the winners again."""
    return _maximum(x, kernel_size=kernel_size, stride=stride, padding=padding), (x,)


@max_pool.backward
def _max_pool_backward(
    gy: jax.Array,
    saved: tuple,
    needs: tuple[bool, ...],
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
) -> tuple[jax.Array]:
    (x,) = saved
    return (_scatter_to_maxima(gy, x, kernel_size=kernel_size, stride=stride, padding=padding),)


@kernel("jax", "sum_pool")
def sum_pool(x: jax.Array, *, kernel_size: Sizes, stride: Sizes, padding: Pairs) -> tuple[jax.Array, tuple]:
    """The reference's `_sum_pool`."""
    return _sum(x, kernel_size=kernel_size, stride=stride, padding=padding), (x.shape[2:],)


@kernel("jax", "spread_over_windows")
def spread_over_windows(
    gy: jax.Array, *, size: Sizes, kernel_size: Sizes, stride: Sizes, padding: Pairs
) -> tuple[jax.Array, tuple]:
    """The reference's `_spread_over_windows`."""
    return _spread(gy, size=size, kernel_size=kernel_size, stride=stride, padding=padding), ()


@partial(jax.jit, static_argnames=("kernel_size", "stride", "padding"))
def _maximum(x: jax.Array, *, kernel_size: Sizes, stride: Sizes, padding: Pairs) -> jax.Array:
    return _reduce(x, -np.inf, lax.max, kernel_size, stride, padding)


@partial(jax.jit, static_argnames=("kernel_size", "stride", "padding"))
def _scatter_to_maxima(
    gy: jax.Array, x: jax.Array, *, kernel_size: Sizes, stride: Sizes, padding: Pairs
) -> jax.Array:
    maximum = partial(_maximum, kernel_size=kernel_size, stride=stride, padding=padding)

    def to_first(gy: jax.Array, x: jax.Array) -> jax.Array:
        return jax.vjp(maximum, x)[1](gy)[0]

    # For XLA NaN never wins, and padding equals minus infinity.
    limits, nan = jnp.finfo(x.dtype), jnp.isnan(x)
    numbers = jnp.where(nan, 0, jnp.clip(x, limits.min, limits.max))

    def with_nan() -> jax.Array:
        """To the last NaN of each window that has one, which is where numbers that grow are the largest."""
        nan_wins = maximum(nan.astype(np.float32)) > 0
        places = jnp.arange(1, math.prod(x.shape[2:]) + 1, dtype=np.float32).reshape(x.shape[2:])
        of_nan = to_first(jnp.where(nan_wins, gy, 0).astype(np.float32), jnp.where(nan, places, 0))
        return to_first(jnp.where(nan_wins, 0, gy), numbers) + of_nan.astype(gy.dtype)

    return lax.cond(nan.any(), with_nan, lambda: to_first(gy, numbers))


@partial(jax.jit, static_argnames=("kernel_size", "stride", "padding"))
def _sum(x: jax.Array, *, kernel_size: Sizes, stride: Sizes, padding: Pairs) -> jax.Array:
    return _reduce(x, 0, lax.add, kernel_size, stride, padding)


@partial(jax.jit, static_argnames=("size", "kernel_size", "stride", "padding"))
def _spread(gy: jax.Array, *, size: Sizes, kernel_size: Sizes, stride: Sizes, padding: Pairs) -> jax.Array:
    x = jax.ShapeDtypeStruct((*gy.shape[:2], *size), gy.dtype)
    total = partial(_sum, kernel_size=kernel_size, stride=stride, padding=padding)
    return jax.linear_transpose(total, x)(gy)[0]


def _reduce(
    x: jax.Array, start: float, function: Any, kernel_size: Sizes, stride: Sizes, padding: Pairs
) -> jax.Array:
    whole = (1, 1)  # the batch and the channels
    neutral = np.asarray(start, dtype=x.dtype)
    return lax.reduce_window(
        x, neutral, function, (*whole, *kernel_size), (*whole, *stride), ((0, 0), (0, 0), *padding)
    )
