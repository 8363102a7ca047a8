"""The affine layer."""

from __future__ import annotations

from math import prod
from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.backend import Array, ArrayT, ShapeError, device_of, namespace
from xpnn.functional.arguments import (
    check_floating,
    check_rank,
    check_same_dtype,
    check_shape,
    once_per_signature,
    shape_of,
)

__all__ = ["linear"]


def linear(input: ArrayT, weight: Array | Tensor, bias: Array | Tensor | None = None) -> ArrayT:
    """Multiply by a matrix and shift: y = x W^T + b.

    Backward, summed over all leading axes n:

        gx = gy W        gW = sum_n gy_n x_n^T        gb = sum_n gy_n

    Args:
        input: (..., in_features), floating.
        weight: (out_features, in_features), of the input's dtype.
        bias: (out_features,) or None.

    Returns: (..., out_features).

    Raises: ShapeError if the sizes do not fit; DTypeError for integers or mixed precision.

    >>> import numpy as np
    >>> linear(np.asarray([[1.0, 2.0]]), np.asarray([[3.0, 4.0]]), np.asarray([0.5])).tolist()
    [[11.5]]
    """
    _check(input, weight, bias)
    return _linear(input, weight, bias)


@primitive
def _linear(x, w, b):
    rows = _as_rows(x)
    y = namespace(x).matmul(rows, w.T)  # one product over all leading axes
    if b is not None:
        y += b
    return _with_leading_axes(y, x), (x, w)


@_linear.backward
def _linear_backward(gy, saved, needs):
    x, w = saved
    xp = namespace(gy, x, w)
    gy_rows = _as_rows(gy)
    gx = gw = gb = None
    if needs[0]:
        gx = _with_leading_axes(xp.matmul(gy_rows, w), gy)
    if needs[1]:
        gw = xp.matmul(gy_rows.T, _as_rows(x))
    if needs[2]:
        # A product with ones: the sum over rows, several times faster than `sum` with most libraries.
        ones = xp.ones((gy_rows.shape[0],), dtype=gy.dtype, device=device_of(gy))
        gb = xp.matmul(ones, gy_rows)
    return gx, gw, gb


@once_per_signature
def _check(input: Any, weight: Any, bias: Any) -> None:
    check_floating(input, "linear")
    check_rank(weight, 2, "linear", "out_features, in_features", "weight")
    check_same_dtype("linear", input, weight=weight, bias=bias)
    shape, (features_out, features_in) = input.shape, weight.shape
    if not shape or shape[-1] != features_in:
        shape = shape_of(input)
        came = f"{shape[-1]} from an input" if shape else "an input"
        raise ShapeError(
            f"expects {features_in} input features on the last axis, got {came} of shape {shape}",
            subject="linear",
            hint=_hint(shape, features_in),
        )
    check_shape(bias, (features_out,), "linear", "bias")


def _as_rows(x: Any) -> Any:
    """(..., features) as a matrix."""
    if x.ndim == 2:
        return x
    return namespace(x).reshape(x, (prod(x.shape[:-1]), x.shape[-1]))


def _with_leading_axes(rows: Any, like: Any) -> Any:
    """A matrix with its rows arranged as the leading axes of `like`."""
    if like.ndim == 2:
        return rows
    return namespace(rows).reshape(rows, (*like.shape[:-1], rows.shape[-1]))


def _hint(shape: tuple[int, ...], features_in: int) -> str:
    """What may have been meant: an image that was not flattened, or another in_features."""
    if len(shape) > 2 and prod(shape[1:]) == features_in:
        return f"Flatten it first: x.reshape({shape[0]}, {features_in}), or nn.Flatten()"
    return f"Did you mean in_features={shape[-1]}?" if shape else ""
