"""Poisson's distribution of counts."""

from __future__ import annotations

from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions.random import poisson
from xpnn.autograd.functions.special import lgamma
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, as_parameter

__all__ = ["Poisson"]


class Poisson(Distribution):
    """How often something happens: probability rate^k e^-rate / k!.

    Args:
        rate: the expected number, of 0 or more.

    >>> Poisson(2.0).log_prob(0.0)
    tensor(-2.)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        self.rate = as_parameter(rate, "Poisson")
        super().__init__(self.rate.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        """`rate`."""
        return self.rate

    @property
    def mode(self) -> Tensor:
        """The whole number below `rate`."""
        return self.rate.floor()

    @property
    def variance(self) -> Tensor:
        """`rate`."""
        return self.rate

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Counts in the element type of the parameter; drawn on the host."""
        return poisson(self.rate.detach().expand(self.shape_of_samples(sample_shape)))

    def log_prob(self, value: Any) -> Tensor:
        """k ln(rate) - rate - ln k!."""
        value = self.checked(value)
        return value.xlogy(self.rate) - self.rate - lgamma(value + 1)
