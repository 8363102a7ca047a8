"""Batches that count as one event."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, summed

__all__ = ["Independent"]


class Independent(Distribution):
    """A distribution whose last axes of the batch count as one event: their logarithms are summed.

    Args:
        base_distribution: of the parts. reinterpreted_batch_ndims: how many axes become the event's.

    >>> from xpnn.autograd import tensor
    >>> from xpnn.distributions.normal import Normal
    >>> Independent(Normal(tensor([0.0, 0.0]), 1.0), 1).log_prob(tensor([0.0, 0.0]))
    tensor(-1.8379)
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
        self.has_enumerate_support = base.has_enumerate_support and count == 0

    @constraints.dependent_property
    def support(self) -> Any:
        """That of the parts, with the axes of an event."""
        base, count = self.base_dist.support, self.reinterpreted_batch_ndims
        return constraints.independent(base, count) if base is not None and count else base

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The distribution of a batch of that shape."""
        inner = self.base_dist.batch_shape[len(self.batch_shape) :]
        base = self.base_dist.expand((*batch_shape, *inner))
        return Independent(base, self.reinterpreted_batch_ndims, self.validate_args)

    @property
    def mean(self) -> Tensor:
        """That of the parts."""
        return self.base_dist.mean

    @property
    def mode(self) -> Tensor:
        """That of the parts."""
        return self.base_dist.mode

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

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """That of the parts. Raises: NotImplementedError where there are axes of an event."""
        if self.reinterpreted_batch_ndims:
            raise NotImplementedError("an event of several parts has too many values to list")
        return self.base_dist.enumerate_support(expand)

    def summed(self, parts: Tensor) -> Tensor:
        """The sum over the axes that count as one event."""
        return summed(parts, self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"
