"""The gamma distribution."""

from __future__ import annotations

from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions.gamma import igamma
from xpnn.autograd.functions.special import digamma, lgamma
from xpnn.backend import DType
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, together
from xpnn.distributions.standard_gamma import log_standard_gamma

__all__ = ["Gamma"]

TINY = {"float64": -708.0, "float32": -87.0, "bfloat16": -87.0, "float16": -9.5}  # ln of a normal number


class Gamma(Distribution):
    """The gamma distribution: density rate^a x^(a-1) e^(-rate x) / gamma(a), x > 0.

    `rsample` has the implicit gradient: how x moves with a while its place in the distribution stays.

    Args:
        concentration: a, above 0. rate: above 0; they broadcast.

    See: Figurnov, Mohamed & Mnih (2018), "Implicit reparameterization gradients".

    >>> Gamma(2.0, 1.0).log_prob(1.0)
    tensor(-1.)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = together(concentration, rate, subject=type(self).__name__)
        super().__init__(self.concentration.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        """a / rate."""
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        """(a - 1) / rate, or 0."""
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        """a / rate^2."""
        return self.concentration / self.rate**2

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw with gradients to both parameters; nothing is below the smallest normal number."""
        log_x = log_standard_gamma(self.concentration, self.shape_of_samples(sample_shape))
        logarithm = log_x - self.rate.log()
        return logarithm.clamp(min=TINY[str(DType(logarithm.dtype).name)]).exp().to(self.rate.dtype)

    def log_prob(self, value: Any) -> Tensor:
        """a ln(rate) + (a - 1) ln x - rate x - ln gamma(a)."""
        value = self.checked(value)
        a = self.concentration
        return a * self.rate.log() + (a - 1).xlogy(value) - self.rate * value - lgamma(a)

    def entropy(self) -> Tensor:
        """a - ln(rate) + ln gamma(a) + (1 - a) digamma(a)."""
        a = self.concentration
        return a - self.rate.log() + lgamma(a) + (1 - a) * digamma(a)

    def cdf(self, value: Any) -> Tensor:
        """The lower incomplete gamma function P(a, rate x); it has no gradient to a."""
        return igamma(self.concentration, self.rate * self.checked(value))
