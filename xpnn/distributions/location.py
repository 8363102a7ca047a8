"""Distributions of a place and a width with heavier tails than the normal one, and the half of Cauchy's."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.distributions import constraints
from xpnn.distributions.distribution import InverseSampled, as_parameter, together

__all__ = ["Cauchy", "Gumbel", "HalfCauchy", "Laplace"]

_EULER = 0.57721566490153286061


class _Located(InverseSampled):
    """What is drawn at `loc`, stretched by `scale`."""

    arg_constraints: ClassVar[dict[str, Any]] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = together(loc, scale, subject=type(self).__name__)
        super().__init__(self.loc.shape, (), validate_args)

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    def _standard(self, value: Any) -> Tensor:
        return (self.checked(value) - self.loc) / self.scale


class Laplace(_Located):
    """Laplace's distribution: density e^(-|x - loc| / scale) / (2 scale).

    Args:
        loc, scale: place and width, which broadcast.

    >>> Laplace(0.0, 1.0).log_prob(0.0)
    tensor(-0.6931)
    """

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """2 scale^2."""
        return 2 * self.scale**2

    @property
    def stddev(self) -> Tensor:
        """The root of 2 times scale."""
        return math.sqrt(2) * self.scale

    def log_prob(self, value: Any) -> Tensor:
        """-|x - loc| / scale - ln(2 scale)."""
        return -(2 * self.scale).log() - self._standard(value).abs()

    def entropy(self) -> Tensor:
        """1 + ln(2 scale)."""
        return 1 + (2 * self.scale).log()

    def cdf(self, value: Any) -> Tensor:
        """e^z / 2 below loc, 1 - e^-z / 2 above."""
        z = self._standard(value)
        return 0.5 - 0.5 * z.sign() * (-z.abs()).expm1()

    def icdf(self, value: Any) -> Tensor:
        """loc + scale ln(2 p) below 1 / 2, loc - scale ln(2 - 2 p) above."""
        share = self.checked_share(value)
        low = share < 0.5
        tail = (2 * where(low, share, 1 - share)).log()
        return self.loc + self.scale * where(low, tail, -tail)


class Cauchy(_Located):
    """Cauchy's distribution: density 1 / (pi scale (1 + ((x - loc) / scale)^2)); it has no mean.

    Args:
        loc, scale: the median and the half width at half of the maximum, which broadcast.

    >>> Cauchy(0.0, 1.0).log_prob(0.0)
    tensor(-1.1447)
    """

    @property
    def mean(self) -> Tensor:
        """nan: there is none."""
        return self.loc.detach() * 0 + math.nan

    @property
    def variance(self) -> Tensor:
        """Infinite."""
        return self.loc.detach() * 0 + math.inf

    def log_prob(self, value: Any) -> Tensor:
        """-ln(pi scale) - ln(1 + z^2)."""
        return -math.log(math.pi) - self.scale.log() - (self._standard(value) ** 2).log1p()

    def entropy(self) -> Tensor:
        """ln(4 pi scale)."""
        return math.log(4 * math.pi) + self.scale.log()

    def cdf(self, value: Any) -> Tensor:
        """atan(z) / pi + 1 / 2."""
        return self._standard(value).atan() / math.pi + 0.5

    def icdf(self, value: Any) -> Tensor:
        """loc + scale tan(pi (p - 1 / 2))."""
        return self.loc + self.scale * (math.pi * (self.checked_share(value) - 0.5)).tan()


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


class Gumbel(_Located):
    """Gumbel's distribution: e^(-e^-z), z = (x - loc) / scale, is the probability of at most x.

    Args:
        loc, scale: place and width, which broadcast.

    >>> Gumbel(0.0, 1.0).mean
    tensor(0.5772)
    """

    @property
    def mean(self) -> Tensor:
        """loc + Euler's constant times scale."""
        return self.loc + self.scale * _EULER

    @property
    def variance(self) -> Tensor:
        """(pi scale)^2 / 6."""
        return self.scale**2 * (math.pi**2 / 6)

    @property
    def stddev(self) -> Tensor:
        """pi scale over the root of 6."""
        return self.scale * (math.pi / math.sqrt(6))

    def log_prob(self, value: Any) -> Tensor:
        """-z - e^-z - ln(scale)."""
        z = self._standard(value)
        return -z - (-z).exp() - self.scale.log()

    def entropy(self) -> Tensor:
        """ln(scale) + 1 + Euler's constant."""
        return self.scale.log() + (1 + _EULER)

    def cdf(self, value: Any) -> Tensor:
        """e^(-e^-z)."""
        return (-(-self._standard(value)).exp()).exp()

    def icdf(self, value: Any) -> Tensor:
        """loc - scale ln(-ln p)."""
        return self.loc - self.scale * (-self.checked_share(value).log()).log()
