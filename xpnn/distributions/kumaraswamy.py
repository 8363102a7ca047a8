"""Kumaraswamy's distribution of a probability."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.autograd.functions.special import lgamma
from xpnn.distributions import constraints
from xpnn.distributions.distribution import EULER, InverseSampled, together

__all__ = ["Kumaraswamy"]


class Kumaraswamy(InverseSampled):
    """Kumaraswamy's distribution: 1 - (1 - x^a)^b is the probability of at most x, 0 < x < 1.

    Args:
        concentration1: a, above 0. concentration0: b, above 0; they broadcast.

    >>> Kumaraswamy(1.0, 1.0).mean
    tensor(0.5000)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        self.concentration1, self.concentration0 = together(
            concentration1, concentration0, subject="Kumaraswamy"
        )
        super().__init__(self.concentration1.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        """b beta(1 + 1 / a, b)."""
        return self._moment(1)

    @property
    def mode(self) -> Tensor:
        """((a - 1) / (a b - 1))^(1 / a), nan unless a and b are at least 1, and one of them more."""
        a, b = self.concentration1, self.concentration0
        good = (a >= 1) & (b >= 1) & (a * b > 1)
        share = where(good, (a - 1) / where(good, a * b - 1, 1.0), 0.5)
        return where(good, share ** (1 / a), math.nan)

    @property
    def variance(self) -> Tensor:
        """The mean of x^2, less the square of that of x."""
        return self._moment(2) - self._moment(1) ** 2

    def _moment(self, power: int) -> Tensor:
        b = self.concentration0
        first = 1 + power / self.concentration1
        return (b.log() + lgamma(first) + lgamma(b) - lgamma(first + b)).exp()

    def log_prob(self, value: Any) -> Tensor:
        """ln(a b) + (a - 1) ln x + (b - 1) ln(1 - x^a)."""
        value = self.checked(value)
        a, b = self.concentration1, self.concentration0
        return a.log() + b.log() + (a - 1).xlogy(value) + (b - 1).xlogy(1 - value**a)

    def entropy(self) -> Tensor:
        """1 - 1 / b + (1 - 1 / a) (digamma(b + 1) + Euler's constant) - ln(a b)."""
        a, b = self.concentration1, self.concentration0
        harmonic = (b + 1).digamma() + EULER
        return (1 - 1 / b) + (1 - 1 / a) * harmonic - a.log() - b.log()

    def cdf(self, value: Any) -> Tensor:
        """1 - (1 - x^a)^b."""
        return 1 - (1 - self.checked(value) ** self.concentration1) ** self.concentration0

    def icdf(self, value: Any) -> Tensor:
        """(1 - (1 - p)^(1 / b))^(1 / a)."""
        left = ((-self.checked_share(value)).log1p() / self.concentration0).expm1()
        return (-left) ** (1 / self.concentration1)
