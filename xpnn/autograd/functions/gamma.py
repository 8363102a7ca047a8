"""The incomplete gamma functions, and what else of `xpnn.special` PyTorch has at its top level too."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.elementwise import operand
from xpnn.autograd.functions.probabilities import i0, multigammaln
from xpnn.autograd.functions.promotion import promoted
from xpnn.autograd.functions.special import lgamma
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.mode import is_grad_enabled
from xpnn.autograd.primitive import primitive
from xpnn.backend import Array, ArrayT, GradientError
from xpnn.backend.incomplete_gamma import incomplete_gamma

__all__ = ["i0", "igamma", "igammac", "mvlgamma"]

mvlgamma = multigammaln


@front
@half_in_float32
def igamma(input: ArrayT, other: Any) -> ArrayT:
    """The lower incomplete gamma function P(a, x): the integral of t^(a-1) e^-t up to x, over gamma(a).

    Backward: gx = g x^(a-1) e^-x / gamma(a); there is no gradient of a.

    Args:
        input: a, from 0 on. other: x, likewise.

    Raises: GradientError if a gradient of a is to pass.

    See: NIST Digital Library of Mathematical Functions, section 8.2.

    >>> from xpnn.autograd import tensor
    >>> igamma(tensor([1.0]), tensor([2.0]))
    tensor([0.8647])
    """
    return _incomplete("igamma", input, other, upper=False)


@front
@half_in_float32
def igammac(input: ArrayT, other: Any) -> ArrayT:
    """1 - P(a, x), exact where that is small too; see `igamma`."""
    return _incomplete("igammac", input, other, upper=True)


def _incomplete(subject: str, input: Any, other: Any, upper: bool) -> Any:
    a, x = promoted(input, other, fractions=True)
    a, x = operand(a, x), operand(x, a)
    if a.requires_grad and is_grad_enabled():
        raise GradientError(
            "has no gradient of its first argument", subject=subject, hint="Call detach() on it"
        )
    return _incomplete_gamma(*ops.broadcast_arrays(a.detach(), x), upper=upper)


@primitive
def _incomplete_gamma(a: Array, x: Array, *, upper: bool) -> tuple[Array, tuple]:
    return incomplete_gamma(a, x)[int(upper)], (a, x)


@_incomplete_gamma.backward
def _incomplete_gamma_backward(g: Array, saved: tuple, needs: tuple, *, upper: bool) -> tuple:
    a, x = saved
    density = ops.exp((a - 1) * ops.log(x) - x - lgamma(a))
    return None, g * (-density if upper else density)
