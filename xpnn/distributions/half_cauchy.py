"""The distribution of the absolute values of Cauchy's."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.distributions import constraints
from xpnn.distributions.distribution import InverseSampled, as_parameter

__all__ = ["HalfCauchy"]


class HalfCauchy(InverseSampled):
    """The absolute value of a Cauchy distributed number at 0.

    Args:
        scale: above 0.

    >>> HalfCauchy(1.0).cdf(1.0)
    tensor(0.5000)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"scale": constraints.positive}
    support = constraints.nonnegative

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        self.scale = as_parameter(scale, "HalfCauchy")
        super().__init__(self.scale.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        """Infinite."""
        return self.scale.detach() * 0 + math.inf

    @property
    def mode(self) -> Tensor:
        """0."""
        return self.scale.detach() * 0

    @property
    def variance(self) -> Tensor:
        """Infinite."""
        return self.scale.detach() * 0 + math.inf

    def log_prob(self, value: Any) -> Tensor:
        """ln(2 / (pi scale)) - ln(1 + z^2), -inf below 0."""
        value = self.checked(value)
        found = math.log(2 / math.pi) - self.scale.log() - ((value / self.scale) ** 2).log1p()
        return where(value >= 0, found, -math.inf)

    def entropy(self) -> Tensor:
        """ln(2 pi scale)."""
        return math.log(2 * math.pi) + self.scale.log()

    def cdf(self, value: Any) -> Tensor:
        """2 atan(z) / pi."""
        return 2 / math.pi * (self.checked(value) / self.scale).atan()

    def icdf(self, value: Any) -> Tensor:
        """scale tan(pi p / 2)."""
        return self.scale * (math.pi / 2 * self.checked_share(value)).tan()
