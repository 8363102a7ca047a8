"""Distributions of which each draw takes one of several."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, no_grad
from xpnn.autograd.functions import gather, logsumexp
from xpnn.backend import ArgumentError, ShapeError
from xpnn.distributions import constraints
from xpnn.distributions.categorical import Categorical
from xpnn.distributions.distribution import Distribution

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """A mixture of n distributions of one kind: the density is the sum of w_i p_i(x).

    Args:
        mixture_distribution: a Categorical of the weights w (..., n).
        component_distribution: of batch shape (..., n).

    >>> from xpnn.autograd import tensor
    >>> from xpnn.distributions.normal import Normal
    >>> MixtureSameFamily(Categorical(tensor([1.0, 3.0])), Normal(tensor([0.0, 4.0]), 1.0)).mean
    tensor(3.)
    """

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(mixture_distribution, Categorical):
            raise ArgumentError("expects a Categorical of the weights", subject="MixtureSameFamily")
        self._mixture, self._parts = mixture_distribution, component_distribution
        batch = self._parts.batch_shape[:-1]
        weights = self._mixture.logits.shape
        pairs = zip(reversed(weights[:-1]), reversed(batch))
        if self._parts.batch_shape[-1:] != weights[-1:] or any(a not in (1, b) and b != 1 for a, b in pairs):
            raise ShapeError(
                f"expects distributions of batch shape (..., n) for weights {weights}, "
                f"got {self._parts.batch_shape}",
                subject="MixtureSameFamily",
            )
        super().__init__(batch, self._parts.event_shape, validate_args)

    @property
    def mixture_distribution(self) -> Categorical:
        """The weights."""
        return self._mixture

    @property
    def component_distribution(self) -> Distribution:
        """The parts."""
        return self._parts

    @constraints.dependent_property
    def support(self) -> Any:
        """That of the parts, where it does not differ from part to part."""
        region = self._parts.support
        return None if isinstance(type(self._parts).support, constraints.dependent_property) else region

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The distribution of a batch of that shape."""
        parts = self._parts.expand((*batch_shape, self._parts.batch_shape[-1]))
        return MixtureSameFamily(self._mixture.expand(batch_shape), parts, self.validate_args)

    @property
    def mean(self) -> Tensor:
        """The weighted mean of the means."""
        return self._weighted(self._parts.mean)

    @property
    def variance(self) -> Tensor:
        """The weighted mean of the variances, + the variance of the means."""
        off = self._parts.mean - self.mean.unsqueeze(self._axis)
        return self._weighted(self._parts.variance) + self._weighted(off**2)

    @property
    def _axis(self) -> int:
        return -1 - len(self.event_shape)

    def _weighted(self, values: Tensor) -> Tensor:
        probs = self._mixture.probs
        return (probs.reshape((*probs.shape, *(1 for _ in self.event_shape))) * values).sum(dim=self._axis)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw which part, and take what that drew."""
        with no_grad():
            drawn = self._parts.sample(sample_shape)
            chosen = self._mixture.expand(self.batch_shape).sample(sample_shape)
            event = len(self.event_shape)
            index = chosen.reshape((*chosen.shape, *(1 for _ in range(event + 1))))
            index = index.expand((*chosen.shape, 1, *self.event_shape))
            return gather(drawn, self._axis, index).squeeze(self._axis)

    def log_prob(self, value: Any) -> Tensor:
        """ln of the sum of w_i p_i(x)."""
        value = self.checked(value).unsqueeze(self._axis)
        return logsumexp(self._parts.log_prob(value) + self._mixture.logits.log_softmax(dim=-1), dim=-1)

    def cdf(self, value: Any) -> Tensor:
        """The weighted mean of the parts'."""
        value = self.checked(value).unsqueeze(self._axis)
        return (self._parts.cdf(value) * self._mixture.probs).sum(dim=-1)

    def __repr__(self) -> str:
        return f"MixtureSameFamily({self._mixture}, {self._parts})"
