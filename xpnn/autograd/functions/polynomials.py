"""Orthogonal polynomials of any degree, by their recurrences; PyTorch has them without gradients.

See: NIST Digital Library of Mathematical Functions, sections 18.3 and 18.9.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.core import TensorBase
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.elementwise import operand
from xpnn.autograd.functions.promotion import promoted
from xpnn.autograd.half import half_in_float32
from xpnn.backend import ArgumentError, ArrayT, DTypeError, is_complex, item, namespace, size_of

__all__ = [
    "chebyshev_polynomial_t",
    "chebyshev_polynomial_u",
    "chebyshev_polynomial_v",
    "chebyshev_polynomial_w",
    "hermite_polynomial_h",
    "hermite_polynomial_he",
    "laguerre_polynomial_l",
    "legendre_polynomial_p",
    "shifted_chebyshev_polynomial_t",
    "shifted_chebyshev_polynomial_u",
    "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w",
]

_HIGHEST = 10_000

# p(k + 1) of x, k, p(k) and p(k - 1), from k = 1 on
_Step = Callable[[Any, int, Any, Any], Any]


@half_in_float32
def _polynomial(input: Any, n: Any, first: Callable[[Any], Any], step: _Step, subject: str) -> Any:
    """The polynomials of degree n, 0 where that is negative; `first` is that of degree 1, after 1."""
    x, degrees = promoted(input, n, fractions=True)
    x = operand(x, degrees)
    if is_complex(x):
        raise DTypeError("expects real numbers, got complex ones", subject=subject, hint="Use x.real")
    several = isinstance(degrees, TensorBase)
    highest = _highest(degrees.array) if isinstance(degrees, TensorBase) else degrees
    if not -math.inf < highest <= _HIGHEST:
        raise ArgumentError(f"expects degrees of at most {_HIGHEST}, got {highest}", subject=subject)
    highest = int(highest)
    if several:
        x, degrees = ops.broadcast_arrays(x, degrees.detach().trunc())
    before = ops.where(x == x, 0.0, x)  # not x * 0, which is NaN of an infinite x
    here = before + 1
    found = ops.where(degrees == 0, here, before) if several else here if highest >= 0 else before
    for k in range(highest):
        before, here = here, step(x, k, here, before) if k else first(x)
        found = ops.where(degrees == k + 1, here, found) if several else here
    return found


def _highest(degrees: Any) -> float:
    return item(namespace(degrees).max(degrees)) if size_of(degrees.shape) else 0


def _chebyshev(x: Any, k: int, here: Any, before: Any) -> Any:
    return 2 * x * here - before


@front
def chebyshev_polynomial_t(input: ArrayT, n: Any) -> ArrayT:
    """Chebyshev's polynomial of the first kind: cos(n t) where x = cos(t).

    p(k + 1) = 2 x p(k) - p(k - 1), from p(0) = 1 and p(1) = x.

    Args:
        n: the degree, a number or an array that broadcasts against the input.

    >>> from xpnn.autograd import tensor
    >>> chebyshev_polynomial_t(tensor([0.5]), 2)
    tensor([-0.5000])
    """
    return _polynomial(input, n, lambda x: x, _chebyshev, "chebyshev_polynomial_t")


@front
def chebyshev_polynomial_u(input: ArrayT, n: Any) -> ArrayT:
    """Chebyshev's polynomial of the second kind: sin((n + 1) t) / sin(t) where x = cos(t).

    p(k + 1) = 2 x p(k) - p(k - 1), from p(0) = 1 and p(1) = 2 * x.

    Args:
        n: the degree, a number or an array that broadcasts against the input.

    >>> from xpnn.autograd import tensor
    >>> chebyshev_polynomial_u(tensor([0.5]), 2)
    tensor([0.])
    """
    return _polynomial(input, n, lambda x: 2 * x, _chebyshev, "chebyshev_polynomial_u")


@front
def chebyshev_polynomial_v(input: ArrayT, n: Any) -> ArrayT:
    """Chebyshev's polynomial of the third kind: cos((n + 1/2) t) / cos(t / 2) where x = cos(t).

    p(k + 1) = 2 x p(k) - p(k - 1), from p(0) = 1 and p(1) = 2 * x - 1.

    Args:
        n: the degree, a number or an array that broadcasts against the input.

    >>> from xpnn.autograd import tensor
    >>> chebyshev_polynomial_v(tensor([0.5]), 2)
    tensor([-1.])
    """
    return _polynomial(input, n, lambda x: 2 * x - 1, _chebyshev, "chebyshev_polynomial_v")


@front
def chebyshev_polynomial_w(input: ArrayT, n: Any) -> ArrayT:
    """Chebyshev's polynomial of the fourth kind: sin((n + 1/2) t) / sin(t / 2) where x = cos(t).

    p(k + 1) = 2 x p(k) - p(k - 1), from p(0) = 1 and p(1) = 2 * x + 1.

    Args:
        n: the degree, a number or an array that broadcasts against the input.

    >>> from xpnn.autograd import tensor
    >>> chebyshev_polynomial_w(tensor([0.5]), 2)
    tensor([1.])
    """
    return _polynomial(input, n, lambda x: 2 * x + 1, _chebyshev, "chebyshev_polynomial_w")


@front
def hermite_polynomial_h(input: ArrayT, n: Any) -> ArrayT:
    """Hermite's polynomial, orthogonal under e^(-x^2).

    H(k + 1) = 2 x H(k) - 2 k H(k - 1), from H(0) = 1 and H(1) = 2 * x.

    Args:
        n: the degree, a number or an array that broadcasts against the input.

    >>> from xpnn.autograd import tensor
    >>> hermite_polynomial_h(tensor([0.5]), 2)
    tensor([-1.])
    """
    return _polynomial(
        input,
        n,
        lambda x: 2 * x,
        lambda x, k, here, before: 2 * (x * here - k * before),
        "hermite_polynomial_h",
    )


@front
def hermite_polynomial_he(input: ArrayT, n: Any) -> ArrayT:
    """Hermite's polynomial of the probabilists, orthogonal under e^(-x^2 / 2).

    He(k + 1) = x He(k) - k He(k - 1), from He(0) = 1 and He(1) = x.

    Args:
        n: the degree, a number or an array that broadcasts against the input.

    >>> from xpnn.autograd import tensor
    >>> hermite_polynomial_he(tensor([0.5]), 2)
    tensor([-0.7500])
    """
    return _polynomial(
        input, n, lambda x: x, lambda x, k, here, before: x * here - k * before, "hermite_polynomial_he"
    )


@front
def laguerre_polynomial_l(input: ArrayT, n: Any) -> ArrayT:
    """Laguerre's polynomial, orthogonal under e^-x from 0 on.

    (k + 1) L(k + 1) = (2 k + 1 - x) L(k) - k L(k - 1), from L(0) = 1 and L(1) = 1 - x.

    Args:
        n: the degree, a number or an array that broadcasts against the input.

    >>> from xpnn.autograd import tensor
    >>> laguerre_polynomial_l(tensor([0.5]), 2)
    tensor([0.1250])
    """
    return _polynomial(
        input,
        n,
        lambda x: 1 - x,
        lambda x, k, here, before: ((2 * k + 1 - x) * here - k * before) / (k + 1),
        "laguerre_polynomial_l",
    )


@front
def legendre_polynomial_p(input: ArrayT, n: Any) -> ArrayT:
    """Legendre's polynomial, orthogonal between -1 and 1.

    (k + 1) P(k + 1) = (2 k + 1) x P(k) - k P(k - 1), from P(0) = 1 and P(1) = x.

    Args:
        n: the degree, a number or an array that broadcasts against the input.

    >>> from xpnn.autograd import tensor
    >>> legendre_polynomial_p(tensor([0.5]), 2)
    tensor([-0.1250])
    """
    return _polynomial(
        input,
        n,
        lambda x: x,
        lambda x, k, here, before: ((2 * k + 1) * x * here - k * before) / (k + 1),
        "legendre_polynomial_p",
    )


@front
def shifted_chebyshev_polynomial_t(input: ArrayT, n: Any) -> ArrayT:
    """`chebyshev_polynomial_t` of 2 x - 1: orthogonal between 0 and 1."""
    x: Any = input
    return chebyshev_polynomial_t(2 * x - 1, n)


@front
def shifted_chebyshev_polynomial_u(input: ArrayT, n: Any) -> ArrayT:
    """`chebyshev_polynomial_u` of 2 x - 1: orthogonal between 0 and 1."""
    x: Any = input
    return chebyshev_polynomial_u(2 * x - 1, n)


@front
def shifted_chebyshev_polynomial_v(input: ArrayT, n: Any) -> ArrayT:
    """`chebyshev_polynomial_v` of 2 x - 1: orthogonal between 0 and 1."""
    x: Any = input
    return chebyshev_polynomial_v(2 * x - 1, n)


@front
def shifted_chebyshev_polynomial_w(input: ArrayT, n: Any) -> ArrayT:
    """`chebyshev_polynomial_w` of 2 x - 1: orthogonal between 0 and 1."""
    x: Any = input
    return chebyshev_polynomial_w(2 * x - 1, n)
