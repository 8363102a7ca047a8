"""Distributions of waiting times and sizes, whose distribution function has a plain inverse."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.autograd.functions.ratios import expm1_ratio, log1p_ratio
from xpnn.autograd.functions.special import lgamma
from xpnn.distributions import constraints
from xpnn.distributions.distribution import InverseSampled, as_parameter, together

__all__ = ["Exponential", "GeneralizedPareto", "Kumaraswamy", "Pareto", "Weibull"]

_EULER = 0.57721566490153286061


class Exponential(InverseSampled):
    """The time until something that happens at a rate: density rate e^(-rate x), x >= 0.

    Args:
        rate: above 0.

    >>> Exponential(2.0).mean
    tensor(0.5000)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"rate": constraints.positive}
    support = constraints.nonnegative

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        self.rate = as_parameter(rate, "Exponential")
        super().__init__(self.rate.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        """1 / rate."""
        return 1 / self.rate

    @property
    def mode(self) -> Tensor:
        """0."""
        return self.rate.detach() * 0

    @property
    def variance(self) -> Tensor:
        """1 / rate^2."""
        return self.rate**-2

    @property
    def stddev(self) -> Tensor:
        """1 / rate."""
        return 1 / self.rate

    def log_prob(self, value: Any) -> Tensor:
        """ln(rate) - rate x."""
        return self.rate.log() - self.rate * self.checked(value)

    def entropy(self) -> Tensor:
        """1 - ln(rate)."""
        return 1 - self.rate.log()

    def cdf(self, value: Any) -> Tensor:
        """1 - e^(-rate x)."""
        return -(-self.rate * self.checked(value)).expm1()

    def icdf(self, value: Any) -> Tensor:
        """-ln(1 - p) / rate."""
        return -(-self.checked_share(value)).log1p() / self.rate


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
        return _EULER * (1 - 1 / k) + (self.scale / k).log() + 1

    def cdf(self, value: Any) -> Tensor:
        """1 - e^(-(x / scale)^k)."""
        return -(-((self.checked(value) / self.scale) ** self.concentration)).expm1()

    def icdf(self, value: Any) -> Tensor:
        """scale (-ln(1 - p))^(1 / k)."""
        return self.scale * (-(-self.checked_share(value)).log1p()) ** (1 / self.concentration)


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
        harmonic = (b + 1).digamma() + _EULER
        return (1 - 1 / b) + (1 - 1 / a) * harmonic - a.log() - b.log()

    def cdf(self, value: Any) -> Tensor:
        """1 - (1 - x^a)^b."""
        return 1 - (1 - self.checked(value) ** self.concentration1) ** self.concentration0

    def icdf(self, value: Any) -> Tensor:
        """(1 - (1 - p)^(1 / b))^(1 / a)."""
        left = ((-self.checked_share(value)).log1p() / self.concentration0).expm1()
        return (-left) ** (1 / self.concentration1)
