"""The exponential distribution of waiting times."""

from __future__ import annotations

from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.distributions import constraints
from xpnn.distributions.distribution import InverseSampled, as_parameter

__all__ = ["Exponential"]


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
