"""The distribution of one over a gamma distributed number."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.autograd.functions.special import digamma, lgamma
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, together
from xpnn.distributions.gamma import Gamma

__all__ = ["InverseGamma"]


class InverseGamma(Distribution):
    """The distribution of 1 / x for gamma distributed x: density rate^a x^(-a-1) e^(-rate / x) / gamma(a).

    Args:
        concentration: a, above 0. rate: above 0; they broadcast.

    >>> InverseGamma(3.0, 4.0).mean
    tensor(2.)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.positive
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = together(concentration, rate, subject="InverseGamma")
        super().__init__(self.concentration.shape, (), validate_args)

    @property
    def _of_inverse(self) -> Gamma:
        return Gamma(self.concentration, self.rate, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """rate / (a - 1), infinite unless a > 1."""
        a = self.concentration
        return where(a > 1, self.rate / where(a > 1, a - 1, 1.0), math.inf)

    @property
    def mode(self) -> Tensor:
        """rate / (a + 1)."""
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Tensor:
        """rate^2 / ((a - 1)^2 (a - 2)), infinite unless a > 2."""
        a = where(self.concentration > 2, self.concentration, 3.0)
        finite = self.rate**2 / ((a - 1) ** 2 * (a - 2))
        return where(self.concentration > 2, finite, math.inf)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """1 / x for gamma distributed x."""
        return 1 / self._of_inverse.rsample(sample_shape)

    def log_prob(self, value: Any) -> Tensor:
        """a ln(rate) - (a + 1) ln x - rate / x - ln gamma(a)."""
        value = self.checked(value)
        a = self.concentration
        return a * self.rate.log() - (a + 1) * value.log() - self.rate / value - lgamma(a)

    def entropy(self) -> Tensor:
        """a + ln(rate) + ln gamma(a) - (1 + a) digamma(a)."""
        a = self.concentration
        return a + self.rate.log() + lgamma(a) - (1 + a) * digamma(a)

    def cdf(self, value: Any) -> Tensor:
        """1 - P(a, rate / x)."""
        return 1 - self._of_inverse.cdf(1 / self.checked(value))
