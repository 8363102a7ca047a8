"""Sums, means, extremes, products and cumulative sums along axes."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd.ops.broadcasting import axes_of, of_type
from xpnn.autograd.ops.manipulation import astype
from xpnn.autograd.primitive import Primitive, primitive
from xpnn.backend import Array, dtype_name, dtype_named, is_half, namespace, size_of

Axis = int | tuple[int, ...] | None


def sum(x: Array, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
    """The sum over `axis` (all axes if None). The gradient of every summand is that of the sum.

    >>> import numpy as np
    >>> sum(np.asarray([[1.0, 2.0], [3.0, 4.0]]), axis=0).tolist()
    [4.0, 6.0]
    """
    return _of_type(_sum, x, dtype, axis=axis, keepdims=keepdims)


@primitive
def _sum(x: Array, *, axis: Axis, dtype: Any, keepdims: bool) -> tuple[Array, tuple]:
    y = namespace(x).sum(x, axis=axis, dtype=dtype, keepdims=keepdims)
    return y, ((x.shape, x.dtype),)


@_sum.backward
def _sum_backward(g: Array, saved: tuple, needs: tuple, *, axis: Axis, **_: Any) -> tuple[Array]:
    ((shape, dtype),) = saved
    return (_spread(of_type(g, dtype), shape, axis),)


def mean(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The mean of the n elements along `axis`. Backward: gx = g / n.

    >>> import numpy as np
    >>> float(mean(np.asarray([1.0, 2.0, 6.0])))
    3.0
    """
    return _mean(x, axis=axis, keepdims=keepdims)


@primitive
def _mean(x: Array, *, axis: Axis, keepdims: bool) -> tuple[Array, tuple]:
    return namespace(x).mean(x, axis=axis, keepdims=keepdims), (x.shape,)


@_mean.backward
def _mean_backward(g: Array, saved: tuple, needs: tuple, *, axis: Axis, keepdims: bool) -> tuple[Array]:
    (shape,) = saved
    return (_spread(g / (_count(shape, axis) or 1), shape, axis),)


def max(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest element along `axis`; equal ones share the gradient, as in torch.amax. NaN is the largest.

    >>> import numpy as np
    >>> max(np.asarray([[1.0, 5.0], [3.0, 4.0]]), axis=1).tolist()
    [5.0, 4.0]
    """
    return _max(x, axis=axis, keepdims=keepdims)


def min(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The smallest element along `axis`; equal ones share the gradient, as in torch.amin.

    >>> import numpy as np
    >>> min(np.asarray([[1.0, 5.0], [3.0, 4.0]]), axis=1).tolist()
    [1.0, 3.0]
    """
    return _min(x, axis=axis, keepdims=keepdims)


@primitive
def _max(x: Array, *, axis: Axis, keepdims: bool) -> tuple[Array, tuple]:
    y = namespace(x).max(x, axis=axis, keepdims=keepdims)
    return y, (x, y)


@primitive
def _min(x: Array, *, axis: Axis, keepdims: bool) -> tuple[Array, tuple]:
    y = namespace(x).min(x, axis=axis, keepdims=keepdims)
    return y, (x, y)


@_max.backward
@_min.backward
def _extreme_backward(g: Array, saved: tuple, needs: tuple, *, axis: Axis, keepdims: bool) -> tuple[Array]:
    x, y = saved
    xp = namespace(x)
    kept = _kept_shape(x.shape, axis)
    y = xp.reshape(y, kept)
    chosen = (x == y) | ((x != x) & (y != y))
    count = xp.sum(xp.astype(chosen, x.dtype), axis=axis, keepdims=True)
    return (xp.where(chosen, xp.reshape(g, kept) / count, 0.0),)


def element(x: Array, index: Array) -> Array:
    """The element of a row `x` at `index`, of shape (1,); those equal to it share the gradient.

    >>> import numpy as np
    >>> float(element(np.asarray([1.0, 5.0]), np.asarray([1])))
    5.0
    """
    return _element(x, index)


@primitive
def _element(x: Array, index: Array) -> tuple[Array, tuple]:
    xp = namespace(x)
    y = xp.reshape(xp.take(x, index, axis=0), ())
    return y, (x, y)


@_element.backward
def _element_backward(g: Array, saved: tuple, needs: tuple) -> tuple[Array, None]:
    return (*_extreme_backward(g, saved, needs, axis=None, keepdims=False), None)


def var(x: Array, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """The variance along `axis`: sum((x - mean)^2) / (n - correction).

    Backward: gx = 2 g (x - mean) / (n - correction).

    >>> import numpy as np
    >>> float(var(np.asarray([1.0, 3.0]), correction=1))
    2.0
    """
    return _var(x, axis=axis, correction=correction, keepdims=keepdims)


@primitive
def _var(x: Array, *, axis: Axis, correction: float, keepdims: bool) -> tuple[Array, tuple]:
    return namespace(x).var(x, axis=axis, correction=correction, keepdims=keepdims), (x,)


@_var.backward
def _var_backward(
    g: Array, saved: tuple, needs: tuple, *, axis: Axis, correction: float, keepdims: bool
) -> tuple[Array]:
    (x,) = saved
    xp = namespace(x)
    factor = _freedom(x.shape, axis, correction) / 2
    centred = x - xp.mean(x, axis=axis, keepdims=True)
    return (centred * xp.reshape(g / factor, _kept_shape(x.shape, axis)),)


def std(x: Array, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """The standard deviation along `axis`, the square root of `var`.

    Backward: gx = g (x - mean) / ((n - correction) std), and 0 where std is 0.

    >>> import numpy as np
    >>> float(std(np.asarray([1.0, 3.0])))
    1.0
    """
    return _std(x, axis=axis, correction=correction, keepdims=keepdims)


@primitive
def _std(x: Array, *, axis: Axis, correction: float, keepdims: bool) -> tuple[Array, tuple]:
    y = namespace(x).std(x, axis=axis, correction=correction, keepdims=keepdims)
    return y, (x, y)


@_std.backward
def _std_backward(
    g: Array, saved: tuple, needs: tuple, *, axis: Axis, correction: float, keepdims: bool
) -> tuple[Array]:
    x, y = saved
    xp = namespace(x)
    centred = x - xp.mean(x, axis=axis, keepdims=True)
    scale = xp.where(y == 0, 1.0, y) * _freedom(x.shape, axis, correction)
    share = xp.where(y == 0, 0.0, g / scale)
    return (centred * xp.reshape(share, _kept_shape(x.shape, axis)),)


def prod(x: Array, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
    """The product along `axis`. Backward: gx_i = g times the product of all others, right at zeros too.

    >>> import numpy as np
    >>> float(prod(np.asarray([2.0, 3.0, 4.0])))
    24.0
    """
    return _of_type(_prod, x, dtype, axis=axis, keepdims=keepdims)


@primitive
def _prod(x: Array, *, axis: Axis, dtype: Any, keepdims: bool) -> tuple[Array, tuple]:
    return namespace(x).prod(x, axis=axis, dtype=dtype, keepdims=keepdims), (x,)


@_prod.backward
def _prod_backward(g: Array, saved: tuple, needs: tuple, *, axis: Axis, **_: Any) -> tuple[Array]:
    (x,) = saved
    xp = namespace(x)
    if not size_of(x.shape):
        return (xp.zeros_like(x),)
    reduced = axes_of(axis, x.ndim)
    order = (*(i for i in range(x.ndim) if i not in reduced), *reduced)
    moved = xp.permute_dims(x, order)
    rows = xp.reshape(moved, (*moved.shape[: x.ndim - len(reduced)], _count(x.shape, axis)))
    before = _products_before(rows)
    after = xp.flip(_products_before(xp.flip(rows, axis=-1)), axis=-1)
    others = xp.permute_dims(xp.reshape(before * after, moved.shape), _inverse(order))
    g = of_type(g, x.dtype)
    return (others * xp.reshape(g, _kept_shape(x.shape, axis)),)


def cumulative_sum(
    x: Array, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """Partial sums along `axis`: y_k = x_0 + ... + x_k. Backward: gx_i = g_i + g_(i+1) + ...

    Args:
        axis: may be left out for arrays of one axis.
        include_initial: start with the empty sum, so that the result is one longer.

    >>> import numpy as np
    >>> cumulative_sum(np.asarray([1.0, 2.0, 3.0])).tolist()
    [1.0, 3.0, 6.0]
    """
    return _of_type(_cumulative_sum, x, dtype, axis=axis, include_initial=include_initial)


@primitive
def _cumulative_sum(x: Array, *, axis: int | None, dtype: Any, include_initial: bool) -> tuple[Array, tuple]:
    y = namespace(x).cumulative_sum(x, axis=axis, dtype=dtype, include_initial=include_initial)
    return y, ((x.dtype,),)


@_cumulative_sum.backward
def _cumulative_sum_backward(
    g: Array, saved: tuple, needs: tuple, *, axis: int | None, dtype: Any, include_initial: bool
) -> tuple[Array]:
    ((x_dtype,),) = saved
    xp, axis = namespace(g), axis or 0
    g = _without_initial(of_type(g, x_dtype), axis, include_initial)
    return (xp.flip(cumulative_sum(xp.flip(g, axis=axis), axis=axis), axis=axis),)


def cumulative_prod(
    x: Array, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """Partial products along `axis`: y_k = x_0 ... x_k (see `cumulative_sum`). Zeros are no trouble.

    Backward: gx_i = (x_0 ... x_(i-1)) s_i with s_i = g_i + x_(i+1) s_(i+1).

    >>> import numpy as np
    >>> cumulative_prod(np.asarray([2.0, 3.0, 4.0])).tolist()
    [2.0, 6.0, 24.0]
    """
    return _of_type(_cumulative_prod, x, dtype, axis=axis, include_initial=include_initial)


@primitive
def _cumulative_prod(x: Array, *, axis: int | None, dtype: Any, include_initial: bool) -> tuple[Array, tuple]:
    y = namespace(x).cumulative_prod(x, axis=axis, dtype=dtype, include_initial=include_initial)
    return y, (x,)


@_cumulative_prod.backward
def _cumulative_prod_backward(
    g: Array, saved: tuple, needs: tuple, *, axis: int | None, dtype: Any, include_initial: bool
) -> tuple[Array]:
    (x,) = saved
    xp, axis = namespace(x), axis or 0
    if not size_of(x.shape):
        return (xp.zeros_like(x),)
    g = _without_initial(of_type(g, x.dtype), axis, include_initial)
    rows, g = xp.moveaxis(x, axis, -1), xp.moveaxis(g, axis, -1)
    return (xp.moveaxis(_products_before(rows) * _suffix_recurrence(rows, g), -1, axis),)


def _of_type(reduction: Primitive, x: Array, dtype: Any, **options: Any) -> Array:
    """A reduction with a result of `dtype`; one in half precision is rounded at the end, not on the way."""
    if dtype is None:
        return reduction(x, dtype=None, **options)
    dtype = dtype_named(dtype, namespace(x))
    if dtype_name(dtype) in ("float16", "bfloat16"):
        return astype(reduction(x, dtype=None, **options), dtype)
    return reduction(astype(x, dtype) if is_half(x) else x, dtype=dtype, **options)


def _products_before(x: Array) -> Array:
    """p_i = x_0 ... x_(i-1) along the last axis."""
    xp = namespace(x)
    first = xp.ones_like(x[..., :1])
    return xp.concat([first, xp.cumulative_prod(x[..., :-1], axis=-1)], axis=-1)


def _suffix_recurrence(x: Array, g: Array) -> Array:
    """s_i = g_i + x_(i+1) s_(i+1) along the last axis, in log2(n) steps that double the span covered."""
    span, factor = 1, _shift(x, 1)
    while span < x.shape[-1]:
        g = g + factor * _shift(g, span)
        factor = factor * _shift(factor, span)
        span *= 2
    return g


def _shift(x: Array, by: int) -> Array:
    """y_i = x_(i+by) along the last axis, 0 beyond the end."""
    xp = namespace(x)
    return xp.concat([x[..., by:], xp.zeros_like(x[..., :by])], axis=-1)


def _without_initial(g: Array, axis: int, include_initial: bool) -> Array:
    if not include_initial:
        return g
    return g[(*(slice(None) for _ in range(axis % g.ndim)), slice(1, None), ...)]


def _kept_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The shape of the result with the reduced axes kept as 1."""
    axes = axes_of(axis, len(shape))
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def _spread(g: Array, shape: tuple[int, ...], axis: Axis) -> Array:
    """The gradient of a reduction over `axis` at each of the elements that were reduced."""
    xp = namespace(g)
    return xp.broadcast_to(xp.reshape(g, _kept_shape(shape, axis)), shape)


def _count(shape: tuple[int, ...], axis: Axis) -> int:
    """How many elements go into one of the result."""
    return math.prod(shape[i] for i in axes_of(axis, len(shape)))


def _freedom(shape: tuple[int, ...], axis: Axis, correction: float) -> float:
    """n - correction, or NaN if nothing is left to divide by."""
    freedom = _count(shape, axis) - correction
    return freedom if freedom > 0 else math.nan


def _inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(order.index(i) for i in range(len(order)))
