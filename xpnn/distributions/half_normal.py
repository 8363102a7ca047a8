"""The distribution of the absolute values of normal numbers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.autograd.functions.random import randn_like
from xpnn.autograd.functions.special import erf, erfinv
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, as_parameter

__all__ = ["HalfNormal"]

_LOG_2PI = math.log(2 * math.pi)


class HalfNormal(Distribution):
    """The absolute value of a normally distributed number of mean 0.

    Args:
        scale: its standard deviation, above 0.

    >>> HalfNormal(1.0).mean
    tensor(0.7979)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        self.scale = as_parameter(scale, "HalfNormal")
        super().__init__(self.scale.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        """scale times the root of 2 / pi."""
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def mode(self) -> Tensor:
        """0."""
        return self.scale.detach() * 0

    @property
    def variance(self) -> Tensor:
        """scale^2 (1 - 2 / pi)."""
        return self.scale**2 * (1 - 2 / math.pi)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """scale times the absolute values of standard normal numbers."""
        noise = randn_like(self.scale.detach().expand(self.shape_of_samples(sample_shape)))
        return self.scale * noise.abs()

    def log_prob(self, value: Any) -> Tensor:
        """ln 2 - z^2 / 2 - ln(scale) - ln(2 pi) / 2, -inf below 0."""
        value = self.checked(value)
        z = value / self.scale
        found = math.log(2) - z * z / 2 - self.scale.log() - _LOG_2PI / 2
        return where(value >= 0, found, -math.inf)

    def entropy(self) -> Tensor:
        """(1 + ln(pi / 2)) / 2 + ln(scale)."""
        return self.scale.log() + (1 + math.log(math.pi / 2)) / 2

    def cdf(self, value: Any) -> Tensor:
        """erf(z / root of 2)."""
        return erf(self.checked(value) / (self.scale * math.sqrt(2)))

    def icdf(self, value: Any) -> Tensor:
        """scale times the root of 2 times the inverse of erf."""
        return self.scale * (math.sqrt(2) * erfinv(self.checked_share(value)))
