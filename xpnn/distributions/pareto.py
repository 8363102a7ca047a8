"""Pareto's distribution of sizes."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.distributions import constraints
from xpnn.distributions.distribution import InverseSampled, together

__all__ = ["Pareto"]


class Pareto(InverseSampled):
    """The Pareto distribution: (scale / x)^alpha is the probability of more than x >= scale.

    Args:
        scale: the smallest number, above 0. alpha: above 0; they broadcast.

    >>> Pareto(1.0, 2.0).mean
    tensor(2.)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"scale": constraints.positive, "alpha": constraints.positive}

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = together(scale, alpha, subject="Pareto")
        super().__init__(self.scale.shape, (), validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """Numbers from `scale` on."""
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Tensor:
        """scale alpha / (alpha - 1), infinite unless alpha > 1."""
        finite = self.scale * self.alpha / where(self.alpha > 1, self.alpha - 1, 1.0)
        return where(self.alpha > 1, finite, math.inf)

    @property
    def mode(self) -> Tensor:
        """`scale`."""
        return self.scale

    @property
    def variance(self) -> Tensor:
        """scale^2 alpha / ((alpha - 1)^2 (alpha - 2)), infinite unless alpha > 2."""
        a = where(self.alpha > 2, self.alpha, 3.0)
        return where(self.alpha > 2, self.scale**2 * a / ((a - 1) ** 2 * (a - 2)), math.inf)

    def log_prob(self, value: Any) -> Tensor:
        """ln(alpha) + alpha ln(scale) - (alpha + 1) ln x."""
        value = self.checked(value)
        inside = value >= self.scale
        found = self.alpha.log() + self.alpha * self.scale.log() - (self.alpha + 1) * value.log()
        return where(inside, found, -math.inf)

    def entropy(self) -> Tensor:
        """ln(scale / alpha) + 1 + 1 / alpha."""
        return (self.scale / self.alpha).log() + 1 + 1 / self.alpha

    def cdf(self, value: Any) -> Tensor:
        """1 - (scale / x)^alpha."""
        return 1 - (self.scale / self.checked(value)).clamp(max=1) ** self.alpha

    def icdf(self, value: Any) -> Tensor:
        """scale (1 - p)^(-1 / alpha)."""
        return self.scale * (-(-self.checked_share(value)).log1p() / self.alpha).exp()
