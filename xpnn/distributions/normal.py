"""The normal distribution, and that of the absolute values."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.autograd.functions.probabilities import ndtr, ndtri
from xpnn.autograd.functions.random import randn_like
from xpnn.autograd.functions.special import erf, erfinv
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, as_parameter, together

__all__ = ["HalfNormal", "Normal"]

_LOG_2PI = math.log(2 * math.pi)


class Normal(Distribution):
    """The normal distribution: density e^(-((x - loc) / scale)^2 / 2) / (scale sqrt(2 pi)).

    Args:
        loc, scale: the means and standard deviations, which broadcast.

    Raises: ArgumentError for a scale that is not above 0.

    >>> Normal(0.0, 1.0).log_prob(0.0)
    tensor(-0.9189)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = together(loc, scale, subject="Normal")
        super().__init__(self.loc.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The square of `scale`."""
        return self.scale**2

    @property
    def stddev(self) -> Tensor:
        """`scale`."""
        return self.scale

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """loc + scale times standard normal numbers."""
        noise = randn_like(self.loc.detach().expand(self.shape_of_samples(sample_shape)))
        return self.loc + self.scale * noise

    def log_prob(self, value: Any) -> Tensor:
        """-((x - loc) / scale)^2 / 2 - ln(scale) - ln(2 pi) / 2."""
        z = (self.checked(value) - self.loc) / self.scale
        return -(z * z) / 2 - self.scale.log() - _LOG_2PI / 2

    def entropy(self) -> Tensor:
        """(1 + ln(2 pi)) / 2 + ln(scale)."""
        return self.scale.log() + (1 + _LOG_2PI) / 2

    def cdf(self, value: Any) -> Tensor:
        """The probability of what is not above a value."""
        return ndtr((self.checked(value) - self.loc) / self.scale)

    def icdf(self, value: Any) -> Tensor:
        """The value that a probability is not above of: the inverse of `cdf`."""
        return self.loc + self.scale * ndtri(self.checked_share(value))


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
