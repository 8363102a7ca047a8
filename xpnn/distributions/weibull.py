"""Weibull's distribution of lifetimes."""

from __future__ import annotations

from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions.special import lgamma
from xpnn.distributions import constraints
from xpnn.distributions.distribution import EULER, InverseSampled, together

__all__ = ["Weibull"]


class Weibull(InverseSampled):
    """The Weibull distribution: 1 - e^(-(x / scale)^k) is the probability of at most x >= 0.

    Args:
        scale: above 0. concentration: k, above 0; they broadcast.

    >>> Weibull(2.0, 1.0).mean
    tensor(2.)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "scale": constraints.positive,
        "concentration": constraints.positive,
    }
    support = constraints.positive

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = together(scale, concentration, subject="Weibull")
        super().__init__(self.scale.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        """scale gamma(1 + 1 / k)."""
        return self.scale * lgamma(1 + 1 / self.concentration).exp()

    @property
    def mode(self) -> Tensor:
        """scale ((k - 1) / k)^(1 / k)."""
        k = self.concentration
        return self.scale * ((k - 1) / k).clamp(min=0) ** (1 / k)

    @property
    def variance(self) -> Tensor:
        """scale^2 (gamma(1 + 2 / k) - gamma(1 + 1 / k)^2)."""
        k = self.concentration
        return self.scale**2 * (lgamma(1 + 2 / k).exp() - (2 * lgamma(1 + 1 / k)).exp())

    def log_prob(self, value: Any) -> Tensor:
        """ln(k / scale) + (k - 1) ln(x / scale) - (x / scale)^k."""
        share, k = self.checked(value) / self.scale, self.concentration
        return k.log() - self.scale.log() + (k - 1).xlogy(share) - share**k

    def entropy(self) -> Tensor:
        """Euler's constant times (1 - 1 / k), + ln(scale / k) + 1."""
        k = self.concentration
        return EULER * (1 - 1 / k) + (self.scale / k).log() + 1

    def cdf(self, value: Any) -> Tensor:
        """1 - e^(-(x / scale)^k)."""
        return -(-((self.checked(value) / self.scale) ** self.concentration)).expm1()

    def icdf(self, value: Any) -> Tensor:
        """scale (-ln(1 - p))^(1 / k)."""
        return self.scale * (-(-self.checked_share(value)).log1p()) ** (1 / self.concentration)
