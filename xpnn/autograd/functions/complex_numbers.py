"""Complex numbers and their parts."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.core import TensorBase
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.promotion import fractional
from xpnn.backend import ArrayT, DTypeError, KindError, ShapeError, dtype_name, is_complex

__all__ = [
    "angle",
    "complex",
    "conj",
    "conj_physical",
    "imag",
    "is_conj",
    "is_neg",
    "polar",
    "real",
    "resolve_conj",
    "resolve_neg",
    "view_as_complex",
    "view_as_real",
]

_WIDE_ENOUGH = ("float32", "float64")  # the types that complex numbers of both parts exist for


# -- of their parts


@front
def complex(real: ArrayT, imag: Any) -> ArrayT:
    """The complex numbers real + i imag; the two broadcast.

    Backward: the real part of the gradient, and the imaginary part.

    Args:
        real, imag: float32 or float64, both of them.

    >>> from xpnn.autograd import tensor
    >>> complex(tensor([1.0]), tensor([2.0]))
    tensor([1.+2.j])
    """
    _check_parts("complex", real, imag)
    return ops.complex_of(real, imag)


@front
def polar(abs: ArrayT, angle: Any) -> ArrayT:
    """The complex numbers abs (cos(angle) + i sin(angle)); the two broadcast.

    Args:
        abs, angle: float32 or float64, both of them.

    >>> from xpnn.autograd import tensor
    >>> polar(tensor([2.0]), tensor([0.0]))
    tensor([2.+0.j])
    """
    _check_parts("polar", abs, angle)
    return ops.complex_of(ops.multiply(abs, ops.cos(angle)), ops.multiply(abs, ops.sin(angle)))


@front
def view_as_complex(input: ArrayT) -> ArrayT:
    """Pairs along the last axis as complex numbers: a view.

    Args:
        input: (..., 2), float32 or float64.

    Raises: ShapeError unless there are two of each; DTypeError for what is not float32 or float64.

    >>> from xpnn.autograd import tensor
    >>> view_as_complex(tensor([1.0, 2.0]))
    tensor(1.+2.j)
    """
    if input.ndim == 0 or input.shape[-1] != 2:
        raise ShapeError(f"expects pairs along the last axis, got {input.shape}", subject="view_as_complex")
    _check_parts("view_as_complex", input)
    return ops.complex_pairs(input)


# -- the parts


@front
def view_as_real(input: ArrayT) -> ArrayT:
    """Complex numbers as pairs of their parts, along a new last axis: a view.

    Raises: DTypeError for real numbers.

    >>> from xpnn.autograd import tensor
    >>> view_as_real(tensor([1 + 2j]))
    tensor([[1., 2.]])
    """
    _check_complex("view_as_real", input)
    return ops.pairs_of_complex(input)


@front
def real(input: ArrayT) -> ArrayT:
    """The real part, a view; a real Tensor itself."""
    return ops.real(input) if is_complex(input) else input


@front
def imag(input: ArrayT) -> ArrayT:
    """The imaginary part, a view. Raises: DTypeError for real numbers."""
    _check_complex("imag", input)
    return ops.imag(input)


@front
def angle(input: ArrayT) -> ArrayT:
    """The angle of complex numbers; of real ones 0, or pi where they are negative, with a gradient of 0."""
    if is_complex(input):
        return ops.atan2(ops.imag(input), ops.real(input))
    x: Any = fractional(input)
    return ops.where(x < 0, math.pi, ops.where(x == x, ops.sign(x) * 0, x))


# -- conjugates, which are never put off here, so that there is nothing to resolve


@front
def conj(input: ArrayT) -> ArrayT:
    """The complex conjugate, a view; a real Tensor itself."""
    return ops.conj(input) if is_complex(input) else input


@front
def conj_physical(input: ArrayT) -> ArrayT:
    """The complex conjugate as a new Tensor."""
    return ops.positive(ops.conj(input)) if is_complex(input) else input


@front
def resolve_conj(input: ArrayT) -> ArrayT:
    """The Tensor itself: its elements are conjugated already where they are to be."""
    return input


@front
def resolve_neg(input: ArrayT) -> ArrayT:
    """The Tensor itself: its elements are negated already where they are to be."""
    return input


@front
def is_conj(input: Any) -> bool:
    """Whether a conjugate is put off: it never is."""
    return False


@front
def is_neg(input: Any) -> bool:
    """Whether a negation is put off: it never is."""
    return False


def _check_parts(subject: str, *parts: Any) -> None:
    for x in parts:
        if not isinstance(x, TensorBase):
            raise DTypeError(f"expects Tensors, got {type(x).__name__}", subject=subject)
    kinds = [dtype_name(x.dtype) for x in parts]
    if kinds[0] not in _WIDE_ENOUGH or len(set(kinds)) > 1:
        raise DTypeError(
            f"expects float32 or float64, of all parts alike, got {' and '.join(kinds)}", subject=subject
        )


def _check_complex(subject: str, x: Any) -> None:
    if not is_complex(x):
        raise KindError(f"expects complex numbers, got {dtype_name(x.dtype)}", subject=subject)
