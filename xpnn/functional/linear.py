"""The affine layer."""

from __future__ import annotations

from math import prod
from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.autograd.casting import listed
from xpnn.autograd.half import half_in_float32
from xpnn.backend import Array, ArrayT, ShapeError, device_of, namespace
from xpnn.functional.arguments import (
    check_floating,
    check_rank,
    check_same_dtype,
    check_shape,
    once_per_signature,
    shape_of,
)

__all__ = ["bilinear", "linear"]


def linear(input: ArrayT, weight: Array | Tensor, bias: Array | Tensor | None = None) -> ArrayT:
    """Multiply by a matrix and shift: y = x W^T + b.

    Backward, summed over all leading axes n:

        gx = gy W        gW = sum_n gy_n x_n^T        gb = sum_n gy_n

    with conj(W) and conj(x) where they are complex.

    Args:
        input: (..., in_features), floating or complex.
        weight: (out_features, in_features), of the input's dtype.
        bias: (out_features,) or None; or a shape that broadcasts to the output's, such as (1,) or ().

    Returns: (..., out_features); (...) for a weight of one axis (in_features,), as in PyTorch.

    Raises: ShapeError if the sizes do not fit; DTypeError for integers or mixed precision.

    >>> import numpy as np
    >>> linear(np.asarray([[1.0, 2.0]]), np.asarray([[3.0, 4.0]]), np.asarray([0.5])).tolist()
    [[11.5]]
    """
    _check(input, weight, bias)
    if weight.ndim == 1 or (bias is not None and bias.shape != weight.shape[:1]):
        return _linear_of_other_shapes(input, weight, bias)
    return _linear(input, weight, bias)


@listed
def bilinear(
    input1: ArrayT, input2: Array | Tensor, weight: Array | Tensor, bias: Array | Tensor | None = None
) -> ArrayT:
    """Products of all pairs of features of two inputs, weighed: `y_o = x1^T W_o x2 + b_o`.

    Args:
        input1: (..., in1_features), floating.
        input2: (..., in2_features), with the same leading axes.
        weight: (out_features, in1_features, in2_features).
        bias: (out_features,) or None.

    Returns: (..., out_features).

    Raises: ShapeError if the sizes do not fit; DTypeError for integers or mixed precision.

    >>> import numpy as np
    >>> bilinear(np.asarray([1.0, 2.0]), np.asarray([3.0]), np.ones((1, 2, 1))).tolist()
    [9.0]
    """
    _check_bilinear(input1, input2, weight, bias)
    return _bilinear(input1, input2, weight, bias)


@half_in_float32
def _bilinear(input1: Any, input2: Any, weight: Any, bias: Any) -> Any:
    xp = namespace(input1, input2, weight)
    x1, x2 = _as_rows(input1), _as_rows(input2)
    outputs, size1, size2 = weight.shape
    products = xp.matmul(x2, xp.reshape(weight, (outputs * size1, size2)).T)
    products = xp.reshape(products, (x1.shape[0], outputs, size1))
    y = xp.squeeze(xp.matmul(products, xp.expand_dims(x1, axis=-1)), axis=-1)
    y = xp.reshape(y, (*input1.shape[:-1], outputs))
    return y if bias is None else _shifted(y, bias)


@half_in_float32
def _linear_of_other_shapes(input: Any, weight: Any, bias: Any) -> Any:
    """A weight of one axis gives one number for each vector; a bias is broadcast to the result."""
    if weight.ndim == 1:
        y = namespace(input, weight).matmul(input, weight)
    else:
        y = _linear(input, weight, None)
    if bias is None:
        return y
    shape = shape_of(bias)
    if input.ndim == 1 and shape == (1, *shape_of(y)):
        bias = namespace(bias).squeeze(bias, axis=0)  # the one sample is the vector, as PyTorch takes it
    elif not _broadcasts_to(shape, shape_of(y)):
        check_shape(bias, shape_of(y)[-1:], "linear", "bias")
    return _shifted(y, bias)


def _shifted(y: Any, bias: Any) -> Any:
    namespace(y, bias)  # of one library, which some add to another's arrays in silence
    return y + bias


def _broadcasts_to(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    fits = len(shape) <= len(target)
    return fits and all(size in (1, whole) for size, whole in zip(reversed(shape), reversed(target)))


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
    check_floating(input, "linear", or_complex=True)
    check_rank(weight, (1, 2), "linear", "out_features, in_features", "weight")
    check_same_dtype("linear", input, weight=weight, bias=bias)
    shape, features_in = input.shape, weight.shape[-1]
    if not shape or shape[-1] != features_in:
        shape = shape_of(input)
        came = f"{shape[-1]} from an input" if shape else "an input"
        raise ShapeError(
            f"expects {features_in} input features on the last axis, got {came} of shape {shape}",
            subject="linear",
            hint=_hint(shape, features_in),
        )


@once_per_signature
def _check_bilinear(input1: Any, input2: Any, weight: Any, bias: Any) -> None:
    check_floating(input1, "bilinear", "input1")
    check_rank(weight, 3, "bilinear", "out_features, in1_features, in2_features", "weight")
    check_same_dtype("bilinear", input1, input2=input2, weight=weight, bias=bias)
    first, second = shape_of(input1), shape_of(input2)
    if not first or not second or first[:-1] != second[:-1] or (first[-1], second[-1]) != weight.shape[1:]:
        raise ShapeError(
            f"expects inputs of {weight.shape[1]} and {weight.shape[2]} features with the same leading axes, "
            f"got shapes {first} and {second}",
            subject="bilinear",
        )
    check_shape(bias, (weight.shape[0],), "bilinear", "bias")


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
