"""The uniform distribution, and batches that count as one event."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.autograd.functions.random import rand_like
from xpnn.backend import ArgumentError
from xpnn.distributions.distribution import Distribution, together

__all__ = ["Independent", "Uniform"]


class Uniform(Distribution):
    """Numbers from `low` up to `high`, all alike: density 1 / (high - low).

    Raises: ArgumentError unless low < high.

    >>> Uniform(0.0, 2.0).log_prob(1.0)
    tensor(-0.6931)
    """

    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = together(low, high, subject="Uniform")
        super().__init__(self.low.shape, (), validate_args)
        self.expect(self.low < self.high, "low < high")

    @property
    def mean(self) -> Tensor:
        """(low + high) / 2."""
        return (self.low + self.high) / 2

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
        """The probability of what is not above a value."""
        return ((self.checked(value) - self.low) / (self.high - self.low)).clamp(0.0, 1.0)

    def __repr__(self) -> str:
        return f"Uniform(low: {self.low.shape}, high: {self.high.shape})"


class Independent(Distribution):
    """A distribution whose last axes of the batch count as one event: their logarithms are summed.

    Args:
        base_distribution: of the parts. reinterpreted_batch_ndims: how many axes become the event's.

    >>> from xpnn.autograd import tensor
    >>> Independent(Uniform(tensor([0.0, 0.0]), 2.0), 1).entropy()
    tensor(1.3863)
    """

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        base, count = base_distribution, reinterpreted_batch_ndims
        if not 0 <= count <= len(base.batch_shape):
            raise ArgumentError(
                f"expects at most {len(base.batch_shape)} axes of the batch, got {count}",
                subject="Independent",
            )
        self.base_dist, self.reinterpreted_batch_ndims = base, count
        cut = len(base.batch_shape) - count
        super().__init__(base.batch_shape[:cut], (*base.batch_shape[cut:], *base.event_shape), validate_args)
        self.has_rsample = base.has_rsample

    @property
    def mean(self) -> Tensor:
        """That of the parts."""
        return self.base_dist.mean

    @property
    def variance(self) -> Tensor:
        """That of the parts."""
        return self.base_dist.variance

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """That of the parts."""
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """That of the parts."""
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Any) -> Tensor:
        """The sum over the parts of an event."""
        return self.summed(self.base_dist.log_prob(value))

    def entropy(self) -> Tensor:
        """The sum over the parts of an event."""
        return self.summed(self.base_dist.entropy())

    def summed(self, parts: Tensor) -> Tensor:
        """The sum over the axes that count as one event."""
        axes = tuple(range(-self.reinterpreted_batch_ndims, 0))
        return parts.sum(dim=axes) if axes else parts

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"
