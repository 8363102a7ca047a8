"""Sums, means, extremes, quantiles and running sums.

Functions without a `dim` go over all elements. As in PyTorch, `var` and `std` divide by N - 1 unless told
otherwise (the standard's functions divide by N), and sums of integers are int64.
"""

from __future__ import annotations

import builtins
import math
import operator
from typing import Any, NamedTuple, overload

from xpnn.autograd import ops
from xpnn.autograd.core import TensorBase, as_array, new_tensor
from xpnn.autograd.functions import elementwise
from xpnn.autograd.functions.axes import axis_of
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.promotion import NUMBERS, cast, fractional, is_whole, raw_of
from xpnn.autograd.functions.sorting import ValuesAndIndices, argsort, chosen_along
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.reductions import element
from xpnn.backend import (
    ArgumentError,
    ArrayT,
    DTypeError,
    ShapeError,
    concrete,
    device_of,
    dtype_name,
    dtype_named,
    extremes,
    idioms,
    is_complex,
    is_half,
    namespace,
    size_of,
)

__all__ = [
    "all",
    "amax",
    "amin",
    "aminmax",
    "any",
    "argmax",
    "argmin",
    "bincount",
    "corrcoef",
    "count_nonzero",
    "cov",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "cumulative_trapezoid",
    "diff",
    "dist",
    "histc",
    "logcumsumexp",
    "logsumexp",
    "max",
    "mean",
    "median",
    "min",
    "mode",
    "nanmean",
    "nanmedian",
    "nanquantile",
    "nansum",
    "norm",
    "prod",
    "quantile",
    "renorm",
    "std",
    "std_mean",
    "sum",
    "trapezoid",
    "trapz",
    "var",
    "var_mean",
]


class MinAndMax(NamedTuple):
    """What `aminmax` returns."""

    min: Any
    max: Any


# -- sums and means


@front
def sum(input: ArrayT, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> ArrayT:
    """The sum; of integers and booleans in int64.

    Args:
        dim: an axis or several; None or () is all of them.
        dtype: the element type that the input is converted to first.

    >>> from xpnn.autograd import tensor
    >>> sum(tensor([[1, 2], [3, 4]]), 0)
    tensor([4, 6])
    """
    x = _whole_in_int64(input, dtype)
    return ops.sum(x, axis=_axes(x, dim, "sum"), keepdims=keepdim, dtype=_named(dtype, x))


@front
def sum_to_size(input: ArrayT, *size: Any) -> ArrayT:
    """The sum that gives the shape `size`, which broadcasts to that of the input: over what it would repeat.

    >>> from xpnn.autograd import tensor
    >>> sum_to_size(tensor([[1.0, 2.0], [3.0, 4.0]]), 1, 2)
    tensor([[4., 6.]])
    """
    wanted = tuple(size[0]) if len(size) == 1 and isinstance(size[0], list | tuple) else size
    missing = input.ndim - len(wanted)
    shape = (*[1] * missing, *wanted)
    if missing < 0 or builtins.any(n not in (1, m) for n, m in zip(shape, input.shape)):
        raise ShapeError(
            f"expects a size that broadcasts to the shape {tuple(input.shape)}, got {wanted}",
            subject="sum_to_size",
        )
    axes = tuple([i for i, n in enumerate(shape) if i < missing or n != input.shape[i]])
    y: Any = sum(input, axes, keepdim=True) if axes else input
    return ops.reshape(y, wanted)


@front
def nansum(input: ArrayT, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> ArrayT:
    """The sum of what is not NaN; see `sum`."""
    return sum(_without_nan(input), dim, keepdim, dtype=dtype)


@front
def mean(input: ArrayT, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> ArrayT:
    """The mean; see `sum`. Raises: DTypeError for integers without a `dtype`.

    >>> from xpnn.autograd import tensor
    >>> mean(tensor([1.0, 2.0, 6.0]))
    tensor(3.)
    """
    x = _floating("mean", input, dtype)
    if is_whole(x):
        raise DTypeError(
            f"expects a floating or complex dtype, got {dtype_name(x.dtype)}",
            subject="mean",
            hint="Give the dtype of the mean, such as float32, and convert that",
        )
    axes = _axes(x, dim, "mean")
    if not _count(x, axes):
        return ops.sum(x, axis=axes, keepdims=keepdim) * math.nan
    return ops.mean(x, axis=axes, keepdims=keepdim)


@front
@half_in_float32
def nanmean(input: ArrayT, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> ArrayT:
    """The mean of what is not NaN; see `mean`."""
    x: Any = _floating("nanmean", input, dtype)
    axes = _axes(x, dim, "nanmean")
    count = ops.sum(ops.astype(x == x, x.dtype), axis=axes, keepdims=keepdim)
    total = ops.sum(_without_nan(x), axis=axes, keepdims=keepdim)
    empty = count == 0
    return ops.where(empty, math.nan, total / ops.where(empty, 1.0, count))


@front
def prod(input: ArrayT, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> ArrayT:
    """The product; of integers and booleans in int64. See `sum`."""
    x = _whole_in_int64(input, dtype)
    return ops.prod(x, axis=_axes(x, dim, "prod"), keepdims=keepdim, dtype=_named(dtype, x))


@front
def var(
    input: ArrayT,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> ArrayT:
    """The variance: the sum of (x - mean)^2 over N - correction.

    Args:
        dim: an axis or several; None is all. A truth value is `unbiased`, as in `var(x, False)`.
        unbiased: True is a correction of 1, False of 0.
        correction: default 1.

    >>> from xpnn.autograd import tensor
    >>> var(tensor([1.0, 3.0])), var(tensor([1.0, 3.0]), correction=0)
    (tensor(2.), tensor(1.))
    """
    return _spread(ops.var, "var", input, dim, unbiased, keepdim, correction)


@front
def std(
    input: ArrayT,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> ArrayT:
    """The standard deviation, the square root of `var`."""
    return _spread(ops.std, "std", input, dim, unbiased, keepdim, correction)


@front
def var_mean(
    input: ArrayT,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[ArrayT, ArrayT]:
    """The variance and the mean; see `var`."""
    axes = None if isinstance(dim, bool) else dim
    return var(input, dim, unbiased, keepdim, correction=correction), mean(input, axes, keepdim)


@front
def std_mean(
    input: ArrayT,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[ArrayT, ArrayT]:
    """The standard deviation and the mean; see `var`."""
    axes = None if isinstance(dim, bool) else dim
    return std(input, dim, unbiased, keepdim, correction=correction), mean(input, axes, keepdim)


@front
@half_in_float32
def logsumexp(input: ArrayT, dim: Any, keepdim: bool = False) -> ArrayT:
    """ln of the sum of e^x, without overflow. Backward: gx = g softmax(x).

    >>> from xpnn.autograd import tensor
    >>> logsumexp(tensor([1000.0, 1000.0]), 0)
    tensor(1000.6932)
    """
    x: Any = fractional(input)
    axes = _axes(x, dim, "logsumexp")
    if not _count(x, axes):
        return ops.log(ops.sum(ops.exp(x), axis=axes, keepdims=keepdim))
    highest = ops.max(ops.real(x.detach()), axis=axes, keepdims=True)
    highest = ops.where(namespace(x).isfinite(highest), highest, 0.0)
    total = ops.log(ops.sum(ops.exp(x - highest), axis=axes, keepdims=keepdim))
    return total + ops.reshape(highest, total.shape)


@front
def norm(input: ArrayT, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> ArrayT:
    """The p-norm, of all elements as one vector or along `dim`.

    Args:
        p: a number, inf or -inf; "fro" and None are 2; "nuc", of matrices, is the sum of the singular values.

    >>> from xpnn.autograd import tensor
    >>> norm(tensor([3.0, 4.0])), norm(tensor([3.0, -4.0]), 1)
    (tensor(5.), tensor(7.))
    """
    x: Any = _floating("norm", input, dtype)
    if p == "nuc":
        axes = (-2, -1) if dim is None else tuple(dim)
        if x.ndim < 2 or len(axes) != 2:
            raise ShapeError(f"expects matrices for 'nuc', got shape {x.shape}, dim {dim}", subject="norm")
        result = ops.matrix_norm(ops.moveaxis(x, axes, (-2, -1)), ord="nuc")
        if not keepdim:
            return result
        kept = tuple(1 if i in [a % x.ndim for a in axes] else n for i, n in enumerate(x.shape))
        return ops.reshape(result, kept)
    if p in ("fro", None):
        p = 2.0
    if not isinstance(p, int | float):
        raise ArgumentError(f"expects p as a number, 'fro' or 'nuc', got {p!r}", subject="norm")
    return ops.vector_norm(x, axis=_axes(x, dim, "norm"), keepdims=keepdim, ord=float(p))


@front
@half_in_float32
def dist(input: Any, other: Any, p: float = 2) -> Any:
    """The p-norm of input - other.

    >>> from xpnn.autograd import tensor
    >>> dist(tensor([1.0, 1.0]), tensor([4.0, 5.0]))
    tensor(5.)
    """
    return norm(elementwise.sub(input, other), p)


@front
@half_in_float32
def renorm(input: ArrayT, p: float, dim: int, maxnorm: float) -> ArrayT:
    """Slices along `dim` whose p-norm is above `maxnorm` are scaled down to it.

    >>> from xpnn.autograd import tensor
    >>> renorm(tensor([[3.0, 4.0]]), 2, 0, 1.0)
    tensor([[0.6000, 0.8000]])
    """
    x: Any = input
    others = tuple(i for i in range(x.ndim) if i != dim % x.ndim)
    norms = ops.vector_norm(x, axis=others, keepdims=True, ord=float(p))
    scale = ops.where(norms > maxnorm, maxnorm / (norms + 1e-7), 1.0)
    return x * scale


# -- extremes


@overload
def max(input: ArrayT, dim: None = ..., keepdim: bool = ...) -> ArrayT: ...
@overload
def max(input: Any, dim: int, keepdim: bool = ...) -> ValuesAndIndices: ...
@overload
def max(input: ArrayT, dim: Any, keepdim: bool = ...) -> ArrayT: ...
@front
def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; with `dim` the largest along it and their indices; with a Tensor as in `maximum`.

    Equal elements share the gradient; with `dim`, the first has it. NaN is the largest.

    >>> from xpnn.autograd import tensor
    >>> max(tensor([[1.0, 5.0], [3.0, 2.0]]), 1).indices
    tensor([1, 0])
    """
    return _extreme(input, dim if other is None else other, keepdim, ops.max, argmax, elementwise.maximum)


@overload
def min(input: ArrayT, dim: None = ..., keepdim: bool = ...) -> ArrayT: ...
@overload
def min(input: Any, dim: int, keepdim: bool = ...) -> ValuesAndIndices: ...
@overload
def min(input: ArrayT, dim: Any, keepdim: bool = ...) -> ArrayT: ...
@front
def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; see `max`."""
    return _extreme(input, dim if other is None else other, keepdim, ops.min, argmin, elementwise.minimum)


@front
def amax(input: ArrayT, dim: Any = (), keepdim: bool = False) -> ArrayT:
    """The largest element along one or more axes; equal ones share the gradient."""
    return _as_given(input, ops.max(_ordered(input), axis=_axes(input, dim, "amax"), keepdims=keepdim))


@front
def amin(input: ArrayT, dim: Any = (), keepdim: bool = False) -> ArrayT:
    """The smallest element along one or more axes; equal ones share the gradient."""
    return _as_given(input, ops.min(_ordered(input), axis=_axes(input, dim, "amin"), keepdims=keepdim))


@front
def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False) -> MinAndMax:
    """The smallest and the largest element.

    >>> from xpnn.autograd import tensor
    >>> aminmax(tensor([2.0, 1.0, 3.0]))
    MinAndMax(min=tensor(1.), max=tensor(3.))
    """
    return MinAndMax(amin(input, dim, keepdim), amax(input, dim, keepdim))


@front
def argmax(input: ArrayT, dim: int | None = None, keepdim: bool = False) -> ArrayT:
    """The index of the first largest element; without `dim`, in the flattened Tensor."""
    return ops.argmax(_ordered(input), axis=_axes(input, dim, "argmax"), keepdims=keepdim)


@front
def argmin(input: ArrayT, dim: int | None = None, keepdim: bool = False) -> ArrayT:
    """The index of the first smallest element; without `dim`, in the flattened Tensor."""
    return ops.argmin(_ordered(input), axis=_axes(input, dim, "argmin"), keepdims=keepdim)


# -- questions and counts


@front
def all(input: ArrayT, dim: Any = None, keepdim: bool = False) -> ArrayT:
    """Whether all elements are true, or not 0; of uint8 as uint8. Along no axis, `dim=()`, each by itself."""
    if _along_no_axis(dim):
        return _truth(input, ops.astype(input, namespace(raw_of(input)).bool))
    return _truth(input, ops.all(input, axis=_axes(input, dim, "all"), keepdims=keepdim))


@front
def any(input: ArrayT, dim: Any = None, keepdim: bool = False) -> ArrayT:
    """Whether an element is true, or not 0; of uint8 as uint8. Along no axis, `dim=()`, each by itself."""
    if _along_no_axis(dim):
        return _truth(input, ops.astype(input, namespace(raw_of(input)).bool))
    return _truth(input, ops.any(input, axis=_axes(input, dim, "any"), keepdims=keepdim))


@front
def count_nonzero(input: ArrayT, dim: Any = None) -> ArrayT:
    """How many elements are not 0.

    >>> from xpnn.autograd import tensor
    >>> count_nonzero(tensor([0, 3, 5]))
    tensor(2)
    """
    x: Any = input
    return sum(x != 0, dim)


@front
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each of 0, 1, 2 ... occurs among integers, or the sums of the weights there.

    Args:
        input: (n,) integers, not negative. weights: (n,). minlength: the least length of the result.

    >>> from xpnn.autograd import tensor
    >>> bincount(tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    raw = raw_of(input)
    xp = namespace(raw)
    if raw.ndim != 1 or not is_whole(raw):
        raise ShapeError(
            f"expects integers of one axis, got {dtype_name(raw.dtype)} of shape {tuple(raw.shape)}",
            subject="bincount",
        )
    lowest, highest = extremes(raw) if raw.shape[0] else (0, -1)
    if lowest < 0 or minlength < 0:
        raise ArgumentError("expects integers that are not negative", subject="bincount")
    if weights is None:
        values = xp.ones_like(raw, dtype=xp.int64)
    else:
        values = raw_of(weights)
        if values.shape != raw.shape:
            raise ShapeError(f"expects weights of shape {tuple(raw.shape)}, got {tuple(values.shape)}")
        values = values if dtype_name(values.dtype) == "float32" else xp.astype(values, xp.float64)
    length = builtins.max(highest + 1, minlength)
    return new_tensor(idioms.index_add(values, xp.astype(raw, xp.int64), length))


@front
def histc(input: ArrayT, bins: int = 100, min: float = 0, max: float = 0) -> ArrayT:
    """How many elements lie in each of `bins` intervals of equal width.

    Args:
        min, max: the range, whose ends belong to it; where they are equal, that of the elements.

    >>> from xpnn.autograd import tensor
    >>> histc(tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3)
    tensor([0., 2., 1., 0.])
    """
    raw = raw_of(_floating("histc", input, None))
    xp = namespace(raw)
    if bins <= 0 or min > max:
        raise ArgumentError(f"expects bins > 0 and min <= max, got {bins}, {min}, {max}", subject="histc")
    flat = xp.reshape(raw, (-1,))
    wide = xp.astype(flat, xp.float32) if is_half(flat) else flat
    if min == max and flat.shape[0]:
        min, max = extremes(wide)
    if min == max:
        min, max = min - 1, max + 1
    inside = (wide >= min) & (wide <= max)
    places = xp.floor((xp.where(inside, wide, xp.full_like(wide, min)) - min) * (bins / (max - min)))
    places = xp.clip(xp.astype(places, xp.int64), 0, bins - 1)
    return new_tensor(idioms.index_add(xp.astype(inside, flat.dtype), places, bins))


# -- running sums, products and extremes


@front
def cumsum(input: ArrayT, dim: int, *, dtype: Any = None) -> ArrayT:
    """The running sums along `dim`; of integers and booleans in int64.

    >>> from xpnn.autograd import tensor
    >>> cumsum(tensor([1, 2, 3]), 0)
    tensor([1, 3, 6])
    """
    return _running(ops.cumulative_sum, input, dim, dtype)


@front
def cumprod(input: ArrayT, dim: int, *, dtype: Any = None) -> ArrayT:
    """The running products along `dim`; of integers and booleans in int64."""
    return _running(ops.cumulative_prod, input, dim, dtype)


@front
def cummax(input: Any, dim: int) -> ValuesAndIndices:
    """The largest element so far along `dim`, and where it is: the last one of equal ones.

    >>> from xpnn.autograd import tensor
    >>> cummax(tensor([1.0, 3.0, 2.0]), 0).values
    tensor([1., 3., 3.])
    """
    return _running_extreme(input, dim, operator.ge)


@front
def cummin(input: Any, dim: int) -> ValuesAndIndices:
    """The smallest element so far along `dim`, and where it is: the last one of equal ones."""
    return _running_extreme(input, dim, operator.le)


@front
@half_in_float32
def logcumsumexp(input: ArrayT, dim: int) -> ArrayT:
    """ln of the running sums of e^x along `dim`, without overflow.

    >>> from xpnn.autograd import tensor
    >>> logcumsumexp(tensor([0.0, 0.0]), 0)
    tensor([0.0000, 0.6931])
    """
    x: Any = fractional(input)
    if not x.shape:
        return ops.astype(x, x.dtype, copy=True)
    dim = axis_of(dim, x.ndim, "logcumsumexp")
    y = ops.moveaxis(x, dim, -1)
    span = 1
    while span < y.shape[-1]:
        later = ops.logaddexp(y[..., span:], y[..., :-span])
        y = ops.concat([y[..., :span], later], axis=-1)
        span *= 2
    return ops.moveaxis(y, -1, dim) if y.ndim > 1 else ops.astype(y, y.dtype, copy=True)


@front
def diff(input: ArrayT, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> ArrayT:
    """The differences of neighbours along `dim`, taken n times.

    Args:
        prepend, append: Tensors that are joined to it first.

    >>> from xpnn.autograd import tensor
    >>> diff(tensor([1, 4, 9]))
    tensor([3, 5])
    """
    if n < 0:
        raise ArgumentError(f"expects n of at least 0, got {n}", subject="diff")
    parts = [part for part in (prepend, input, append) if part is not None and (n or part is input)]
    x: Any = ops.concat(parts, axis=dim) if len(parts) > 1 else input
    if not x.shape:
        raise ShapeError("expects at least one axis", subject="diff")
    axis = (slice(None),) * (dim % x.ndim)
    for _ in range(builtins.min(n, x.shape[dim])):
        later, earlier = x[(*axis, slice(1, None), ...)], x[(*axis, slice(None, -1), ...)]
        x = later ^ earlier if dtype_name(x.dtype) == "bool" else ops.subtract(later, earlier)
    return x if n else ops.astype(x, x.dtype, copy=True)


@front
def trapezoid(y: ArrayT, x: Any = None, *, dx: Any = None, dim: int = -1) -> ArrayT:
    """The integral by the trapezoidal rule: the sum of (y_i + y_(i+1)) / 2 times the step.

    Args:
        x: where the values stand; or dx, the distance between them, default 1.

    >>> from xpnn.autograd import tensor
    >>> trapezoid(tensor([1.0, 2.0, 3.0]))
    tensor(4.)
    """
    dim = _axis_of_values(y, dim, "trapezoid")
    return sum(_trapezoids(y, x, dx, dim, "trapezoid"), dim)


trapz = trapezoid


@front
def cumulative_trapezoid(y: ArrayT, x: Any = None, *, dx: Any = None, dim: int = -1) -> ArrayT:
    """The running integral by the trapezoidal rule, of one element less; see `trapezoid`."""
    dim = _axis_of_values(y, dim, "cumulative_trapezoid")
    return cumsum(_trapezoids(y, x, dx, dim, "cumulative_trapezoid"), dim)


# -- the middle


@front
def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The element in the middle, the lower one of two, NaN where one is; with `dim` also its index.

    Without `dim` the elements equal to it share the gradient; with `dim` the one at the index has it.

    >>> from xpnn.autograd import tensor
    >>> median(tensor([3.0, 1.0, 2.0, 9.0]))
    tensor(2.)
    """
    return _median("median", input, dim, keepdim, False)


@front
def nanmedian(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The element in the middle of those that are not NaN; see `median`."""
    return _median("nanmedian", input, dim, keepdim, True)


@front
def mode(input: Any, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """The element that occurs most often along `dim`, the smallest of several, and where it stands last.

    >>> from xpnn.autograd import tensor
    >>> mode(tensor([2, 1, 2, 1, 3])).values
    tensor(1)
    """
    if not input.shape:
        return ValuesAndIndices(ops.astype(input, input.dtype, copy=True), argmax(input))
    order = argsort(input, dim)
    moved = raw_of(ops.moveaxis(ops.take_along_axis(_ordered(input), order, axis=dim), dim, -1))
    xp = namespace(moved)
    count = moved.shape[-1]
    if not count:
        raise ShapeError(f"expects elements along dim {dim}, got shape {input.shape}", subject="mode")
    positions = xp.arange(count, dtype=xp.int64, device=device_of(moved))
    first = xp.concat([moved[..., :1] == moved[..., :1], moved[..., 1:] != moved[..., :-1]], axis=-1)
    starts = xp.where(first, positions, xp.zeros_like(positions))
    run = positions - _scan(starts, operator.ge)[0]
    longest = new_tensor(xp.argmax(run, axis=-1, keepdims=True))
    index = ops.moveaxis(ops.take_along_axis(ops.moveaxis(order, dim, -1), longest, axis=-1), -1, dim)
    return chosen_along(input, index, dim, keepdim)


@front
@half_in_float32
def quantile(
    input: ArrayT, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> ArrayT:
    """The value below which the part q of the elements lies; NaN where one is.

    Args:
        q: a number in [0, 1], or a Tensor (m,) of such, which makes a first axis of size m.
        interpolation: "linear", "lower", "higher", "midpoint" or "nearest", between two elements.

    >>> from xpnn.autograd import tensor
    >>> quantile(tensor([1.0, 2.0, 3.0, 4.0]), 0.5)
    tensor(2.5000)
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@front
@half_in_float32
def nanquantile(
    input: ArrayT, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> ArrayT:
    """The quantile of what is not NaN; see `quantile`."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


# -- several variables


@front
@half_in_float32
def cov(input: ArrayT, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> ArrayT:
    """The covariances of variables.

    Args:
        input: (variables, observations), or one variable.
        fweights: (observations,) integers: how often each was made. aweights: (observations,) weights.
            Both are not negative.

    >>> from xpnn.autograd import tensor
    >>> cov(tensor([[1.0, 3.0], [2.0, 6.0]]))
    tensor([[2., 4.],
            [4., 8.]])
    """
    x: Any = fractional(input)
    if x.ndim > 2:
        raise ShapeError(f"expects at most two axes, got shape {x.shape}", subject="cov")
    rows = ops.reshape(x, (1, -1)) if x.ndim < 2 else x
    weights: Any = None
    if fweights is not None and not is_whole(fweights):
        raise DTypeError(f"expects fweights of integers, got {dtype_name(fweights.dtype)}", subject="cov")
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is not None:
            if tuple(given.shape) != (rows.shape[1],):
                raise ShapeError(
                    f"expects {name} of shape {(rows.shape[1],)}, one for each observation, "
                    f"got {tuple(given.shape)}",
                    subject="cov",
                )
            raw = raw_of(given)
            if raw.shape[0] and concrete(raw) and extremes(raw)[0] < 0:
                raise ArgumentError(f"expects {name} that are not negative", subject="cov")
            given = cast(given, x.dtype) if is_whole(given) else given
            weights = given if weights is None else weights * given
    count: Any = rows.shape[1] if weights is None else ops.sum(weights)
    if weights is None:
        centre = mean(rows, 1, True)
    else:
        centre = ops.sum(rows * weights, axis=1, keepdims=True) / count
    freedom = count - correction
    if aweights is not None:
        squares = ops.sum(weights * aweights) / count
        freedom = count - correction * squares
    centred = rows - centre
    weighted = centred if weights is None else centred * weights
    centred = ops.conj(centred)
    if type(freedom) in NUMBERS:
        freedom = builtins.max(freedom, 0)
        scale = 1 / freedom if freedom else math.nan
        result = ops.matmul(weighted, ops.matrix_transpose(centred)) * scale
    else:
        result = ops.matmul(weighted, ops.matrix_transpose(centred)) / freedom
    return ops.reshape(result, ()) if rows.shape[0] == 1 else result


@front
@half_in_float32
def corrcoef(input: ArrayT) -> ArrayT:
    """The correlation coefficients of variables, in [-1, 1]; see `cov`."""
    covariance: Any = cov(input)
    if not covariance.shape:
        return covariance / covariance
    deviation = ops.sqrt(ops.diagonal(covariance))
    scaled = covariance / ops.expand_dims(deviation, axis=1) / ops.expand_dims(deviation, axis=0)
    if is_complex(scaled):
        return ops.complex_of(ops.clip(ops.real(scaled), -1.0, 1.0), ops.clip(ops.imag(scaled), -1.0, 1.0))
    return ops.clip(scaled, -1.0, 1.0)


def _axes(x: Any, dim: Any, name: str) -> Any:
    """Axes as the standard takes them: None for all of them, and for those of a Tensor without axes."""
    if dim is None:
        return None
    dims = tuple(dim) if isinstance(dim, tuple | list) else (operator.index(dim),)
    if not x.shape:
        for axis in dims:
            if axis not in (-1, 0):
                raise ArgumentError(f"expects dim 0 or -1 of a Tensor without axes, got {axis}", subject=name)
        return None
    return None if not dims else dims[0] if len(dims) == 1 else dims


def _along_no_axis(dim: Any) -> bool:
    """Whether axes are named and there are none, which most reductions take for all of them."""
    return isinstance(dim, tuple | list) and not dim


def _count(x: Any, axes: Any) -> int:
    """How many elements go into one of the result."""
    if axes is None:
        return size_of(x.shape)
    return size_of(tuple(x.shape[axis] for axis in (axes if isinstance(axes, tuple) else (axes,))))


def _named(dtype: Any, x: Any) -> Any:
    return None if dtype is None else dtype_named(dtype, namespace(raw_of(x)))


def _whole_in_int64(x: Any, dtype: Any) -> Any:
    """Integers as int64, or as `dtype`; fractions as they are, which are rounded to `dtype` at the end."""
    if not is_whole(x):
        return x
    return cast(x, dtype_named("int64" if dtype is None else dtype, namespace(raw_of(x))))


def _floating(name: str, x: Any, dtype: Any) -> Any:
    """Floating-point numbers, converted to `dtype` if there is one."""
    if dtype is not None:
        return cast(x, _named(dtype, x))
    if is_whole(x):
        raise DTypeError(
            f"expects floating-point numbers, got {dtype_name(x.dtype)}",
            subject=name,
            hint="Convert them with .float(), or give a dtype",
        )
    return x


def _without_nan(x: Any) -> Any:
    return x if is_whole(x) else ops.where(x == x, x, 0.0)


def _spread(function: Any, name: str, x: Any, dim: Any, unbiased: Any, keepdim: bool, correction: Any) -> Any:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1.0 if unbiased is None or unbiased else 0.0
    elif unbiased is not None:
        raise ArgumentError("expects unbiased or correction, not both", subject=name)
    x = _floating(name, x, None)
    if is_complex(x):  # |x - mean|^2 is the sum of the squares of both parts
        parts = [
            _spread(function, name, part(x), dim, None, keepdim, correction) for part in (ops.real, ops.imag)
        ]
        return parts[0] + parts[1] if name == "var" else ops.vector_norm(ops.stack(parts), axis=0)
    axes = _axes(x, dim, name)
    count = _count(x, axes)
    if not count or (count == 1 and correction >= 1):
        return ops.sum(x, axis=axes, keepdims=keepdim) * math.nan
    if count <= correction:
        return function(x, axis=axes, correction=0.0, keepdims=keepdim) * math.inf
    return function(x, axis=axes, correction=float(correction), keepdims=keepdim)


def _ordered(x: Any) -> Any:
    """Truth values as integers, which have an order in every library."""
    return ops.astype(x, namespace(raw_of(x)).uint8) if dtype_name(x.dtype) == "bool" else x


def _as_given(x: Any, result: Any) -> Any:
    return cast(result, x.dtype)


def _truth(x: Any, result: Any) -> Any:
    return cast(result, x.dtype) if dtype_name(x.dtype) == "uint8" else result


def _extreme(x: Any, dim: Any, keepdim: bool, function: Any, index_of: Any, of_two: Any) -> Any:
    if isinstance(dim, TensorBase):
        return of_two(x, dim)
    if dim is None:
        return _as_given(x, function(_ordered(x)))
    dim = operator.index(dim)
    if not x.shape:
        _axes(x, dim, function.__name__)
        return ValuesAndIndices(ops.astype(x, x.dtype, copy=True), index_of(x))
    return chosen_along(x, index_of(x, dim, True), dim, keepdim)


def _running(function: Any, x: Any, dim: int, dtype: Any) -> Any:
    x = _whole_in_int64(x, dtype)
    if not x.shape:
        _axes(x, dim, function.__name__)
        return ops.astype(x, _named(dtype, x) or x.dtype, copy=True)
    return function(x, axis=dim, dtype=_named(dtype, x))


def _running_extreme(x: Any, dim: int, beats: Any) -> ValuesAndIndices:
    if not x.shape:
        return ValuesAndIndices(ops.astype(x, x.dtype, copy=True), argmax(x))
    raw = raw_of(_ordered(x))
    xp = namespace(raw)
    found = new_tensor(as_array(xp.moveaxis(_scan(xp.moveaxis(raw, dim, -1), beats)[1], -1, dim)))
    return ValuesAndIndices(ops.take_along_axis(x, found, axis=dim), found)


def _scan(x: Any, beats: Any) -> tuple[Any, Any]:
    """The best element so far along the last axis, and its index, in log2(n) steps.

    A later element wins if it `beats` an earlier one; NaN always does.
    """
    xp = namespace(x)
    indices = xp.arange(x.shape[-1], dtype=xp.int64, device=device_of(x))
    indices = xp.broadcast_to(indices, x.shape)
    span = 1
    while span < x.shape[-1]:
        earlier, later = x[..., :-span], x[..., span:]
        wins = beats(later, earlier) | (later != later)
        best = xp.where(wins, later, earlier)
        place = xp.where(wins, indices[..., span:], indices[..., :-span])
        x = xp.concat([x[..., :span], best], axis=-1)
        indices = xp.concat([indices[..., :span], place], axis=-1)
        span *= 2
    return x, indices


def _axis_of_values(y: Any, dim: int, name: str) -> int:
    """The axis, counted from the front, of which x may have more."""
    if not y.shape:
        raise ShapeError("expects at least one axis", subject=name)
    return axis_of(dim, y.ndim, name)


def _trapezoids(y: Any, x: Any, dx: Any, dim: int, name: str) -> Any:
    if x is not None and dx is not None:
        raise ArgumentError("expects x or dx, not both", subject=name)
    y = fractional(y)  # whose sums wrap around
    axis = (slice(None),) * dim
    means = (y[(*axis, slice(1, None), ...)] + y[(*axis, slice(None, -1), ...)]) / 2
    if x is None or not y.shape[dim]:
        return means * (1 if dx is None else dx)
    x = fractional(x)
    if x.ndim == 1 and y.ndim > 1:
        x = ops.reshape(x, (-1, *(1,) * (y.ndim - 1 - dim)))
        return means * (x[1:] - x[:-1])
    return means * diff(x, dim=dim if x.ndim > y.ndim else dim - y.ndim)


def _median(name: str, x: Any, dim: int | None, keepdim: bool, without_nan: bool) -> Any:
    if dim is None:
        flat = ops.reshape(x, (-1,))
        if not flat.shape[0]:
            return ops.sum(flat) * math.nan if not is_whole(x) else ops.sum(flat)
        return element(flat, _median(name, flat, 0, True, without_nan).indices)
    if not x.shape:
        return ValuesAndIndices(ops.astype(x, x.dtype, copy=True), argmax(x))
    if not x.shape[dim]:
        raise ShapeError(f"expects elements along dim {dim}, got shape {x.shape}", subject=name)
    order = argsort(x, dim)
    raw = raw_of(x)
    xp = namespace(raw)
    count = xp.sum(xp.astype(raw == raw, xp.int64), axis=dim, keepdims=True)
    middle = xp.clip(count - 1, 0, x.shape[dim] - 1) // 2
    if not without_nan:  # NaN comes last
        middle = xp.where(count < x.shape[dim], xp.full_like(middle, x.shape[dim] - 1), middle)
    return chosen_along(x, ops.take_along_axis(order, new_tensor(middle), axis=dim), dim, keepdim)


_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(
    name: str, x: Any, q: Any, dim: int | None, keepdim: bool, interpolation: str, without_nan: bool
) -> Any:
    if interpolation not in _INTERPOLATIONS:
        raise ArgumentError(
            f"expects interpolation {', '.join(_INTERPOLATIONS)}, got {interpolation!r}", subject=name
        )
    x = _floating(name, x, None)
    raw = raw_of(x)
    xp = namespace(raw)
    parts = xp.asarray([q], dtype=raw.dtype, device=device_of(raw)) if type(q) in NUMBERS else raw_of(q)
    if type(q) in NUMBERS and not 0 <= q <= 1:
        raise ArgumentError(f"expects q in [0, 1], got {q}", subject=name)
    if parts.ndim > 1 or parts.dtype != raw.dtype:
        raise ShapeError(
            f"expects q as a number or {dtype_name(raw.dtype)} of one axis, got {dtype_name(parts.dtype)} "
            f"of shape {tuple(parts.shape)}",
            subject=name,
        )
    lone = type(q) in NUMBERS or not parts.ndim
    parts = xp.reshape(parts, (-1,))
    rows = ops.reshape(x, (-1,)) if dim is None or not x.shape else ops.moveaxis(x, dim, -1)
    size = rows.shape[-1]
    if not size:
        raise ShapeError(f"expects elements, got shape {x.shape}", subject=name)
    values = ops.take_along_axis(rows, argsort(rows), axis=-1)
    known = raw_of(values) == raw_of(values)
    count = xp.sum(xp.astype(known, raw.dtype), axis=-1, keepdims=True)
    if not without_nan:
        count = xp.full_like(count, size)
    place = xp.clip(parts * (count - 1), 0, size - 1)
    low, high = xp.floor(place), xp.ceil(place)
    if interpolation == "nearest":
        low = high = xp.round(place)
    weight = new_tensor(place - low if interpolation == "linear" else xp.full_like(place, 0.5))
    below, above = (
        ops.take_along_axis(values, new_tensor(xp.astype(at, xp.int64)), axis=-1) for at in (low, high)
    )
    if interpolation in ("linear", "midpoint"):
        result = below + (above - below) * weight if interpolation == "linear" else (below + above) / 2
        result = ops.where(new_tensor(low == high), below, result)
    else:
        result = above if interpolation == "higher" else below
    if not without_nan:
        whole = new_tensor(as_array(xp.all(known, axis=-1, keepdims=True)))
        result = ops.where(whole, result, math.nan)
    result = ops.moveaxis(result, -1, 0)
    if keepdim:
        kept = (
            (1,) * x.ndim
            if dim is None
            else tuple(1 if i == dim % (x.ndim or 1) else n for i, n in enumerate(x.shape))
        )
        result = ops.reshape(result, (result.shape[0], *kept))
    return ops.squeeze(result, axis=0) if lone else result
