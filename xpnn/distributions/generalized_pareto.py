"""Pareto's distribution of what lies beyond a threshold, in its general form."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.autograd.functions.ratios import expm1_ratio, log1p_ratio
from xpnn.distributions import constraints
from xpnn.distributions.distribution import InverseSampled, together

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(InverseSampled):
    """What is above a high threshold: less than loc + scale z has the probability 1 - (1 + k z)^(-1 / k).

    Args:
        loc: the threshold. scale: above 0. concentration: k; 0 is the exponential distribution, and with a
            negative one there is an upper end, loc - scale / k. They broadcast.

    See: J. Pickands (1975), "Statistical inference using extreme order statistics".

    >>> GeneralizedPareto(0.0, 1.0, 0.5).mean
    tensor(2.)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale, self.concentration = together(
            loc, scale, concentration, subject="GeneralizedPareto"
        )
        super().__init__(self.loc.shape, (), validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """From `loc` to its upper end, infinity where k is not negative."""
        k = self.concentration
        end = where(k < 0, self.loc - self.scale / where(k < 0, k, 1.0), math.inf)
        return constraints.interval(self.loc, end)

    @property
    def mean(self) -> Tensor:
        """loc + scale / (1 - k), infinite unless k < 1."""
        finite = self.concentration < 1
        return where(finite, self.loc + self.scale / where(finite, 1 - self.concentration, 1.0), math.inf)

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """scale^2 / ((1 - k)^2 (1 - 2 k)), infinite unless k < 1/2."""
        finite = self.concentration < 0.5
        k = where(finite, self.concentration, 0.0)
        return where(finite, self.scale**2 / ((1 - k) ** 2 * (1 - 2 * k)), math.inf)

    def log_prob(self, value: Any) -> Tensor:
        """-ln(scale) - (1 + 1 / k) ln(1 + k z), of k = 0: -ln(scale) - z."""
        value = self.checked(value)
        found = -self.scale.log() - self._exponent(value) * (1 + self.concentration)
        return where((value >= self.loc) & (value <= self.support.upper_bound), found, -math.inf)

    def entropy(self) -> Tensor:
        """ln(scale) + k + 1."""
        return self.scale.log() + self.concentration + 1

    def cdf(self, value: Any) -> Tensor:
        """1 - (1 + k z)^(-1 / k)."""
        return -(-self._exponent(self.checked(value))).expm1()

    def icdf(self, value: Any) -> Tensor:
        """loc + scale ((1 - p)^-k - 1) / k."""
        exponent = -(-self.checked_share(value)).log1p()
        return self.loc + self.scale * exponent * expm1_ratio(self.concentration * exponent)

    def _exponent(self, value: Tensor) -> Tensor:
        """ln(1 + k z) / k, whose limit for k = 0 is z."""
        z = (value - self.loc) / self.scale
        return z * log1p_ratio(self.concentration * z)
