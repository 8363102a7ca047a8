"""The layer of gradient reversal: the identity, whose gradient changes its sign on the way back."""

from __future__ import annotations

from xpnn.backend import ArrayT
from xpnn.functional.activation.pointwise import Pointwise
from xpnn.functional.arguments import number

__all__ = ["gradient_reversal"]


def gradient_reversal(input: ArrayT, alpha: float = 1.0) -> ArrayT:
    """Pass values on, and gradients back with another sign: y = x.

    What stands behind it descends its loss, and what stands before it ascends the same loss.

    Backward: gx = -alpha gy, which is not the derivative of y; the second derivative is that of this rule.

    Args:
        input: any shape.
        alpha: how much of the gradient goes back; 0 stops it.

    Raises: ArgumentError for an alpha that is no number; DTypeError for elements that are not floating-point.

    See: Ganin et al. (2016), "Domain-adversarial training of neural networks".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> gradient_reversal(x, alpha=0.5).sum().backward()
    >>> x.grad.tolist()
    [-0.5, -0.5]
    """
    return _gradient_reversal(input, alpha=number(alpha, "alpha", "gradient_reversal"))


_gradient_reversal = Pointwise(
    "gradient_reversal",
    value=lambda xp, x, *, alpha: xp.astype(x, x.dtype, copy=True),
    gradient=lambda xp, gy, *, alpha: -alpha * gy,
)
