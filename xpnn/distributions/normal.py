"""The normal distribution."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions.probabilities import ndtr, ndtri
from xpnn.autograd.functions.random import randn_like
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, together

__all__ = ["Normal"]

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
