"""The uniform distribution."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.autograd.functions.random import rand_like
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, together

__all__ = ["Uniform"]


class Uniform(Distribution):
    """Numbers from `low` up to `high`, all alike: density 1 / (high - low).

    Args:
        low, high: the bounds, which broadcast.

    Raises: ArgumentError unless low < high.

    >>> Uniform(0.0, 2.0).log_prob(1.0)
    tensor(-0.6931)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"low": constraints.dependent, "high": constraints.dependent}
    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = together(low, high, subject="Uniform")
        super().__init__(self.low.shape, (), validate_args)
        self.expect(self.low < self.high, "low < high")

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """From `low` to `high`."""
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        """(low + high) / 2."""
        return (self.low + self.high) / 2

    @property
    def mode(self) -> Tensor:
        """nan: all are alike."""
        return self.high.detach() * 0 + math.nan

    @property
    def variance(self) -> Tensor:
        """(high - low)^2 / 12."""
        return (self.high - self.low) ** 2 / 12

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """low + (high - low) times numbers from 0 to 1."""
        share = rand_like(self.low.detach().expand(self.shape_of_samples(sample_shape)))
        return self.low + share * (self.high - self.low)

    def log_prob(self, value: Any) -> Tensor:
        """-ln(high - low) inside, -inf elsewhere."""
        value = self.checked(value)
        inside = (value >= self.low) & (value < self.high)
        return where(inside, -(self.high - self.low).log(), -math.inf)

    def entropy(self) -> Tensor:
        """ln(high - low)."""
        return (self.high - self.low).log()

    def cdf(self, value: Any) -> Tensor:
        """The share of the way from `low` to `high`."""
        return ((self.checked(value) - self.low) / (self.high - self.low)).clamp(0.0, 1.0)

    def icdf(self, value: Any) -> Tensor:
        """low + p (high - low)."""
        return self.low + self.checked_share(value) * (self.high - self.low)
