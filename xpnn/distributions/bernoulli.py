"""The distribution of a coin."""

from __future__ import annotations

import math
from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.autograd.functions.random import bernoulli
from xpnn.distributions import constraints
from xpnn.distributions.discrete import OfProbability, listed
from xpnn.distributions.distribution import one_of

__all__ = ["Bernoulli"]


class Bernoulli(OfProbability):
    """1 with probability p, else 0.

    Args:
        probs: p, in [0, 1]. logits: ln(p / (1 - p)); one of the two is given.

    >>> Bernoulli(0.5).log_prob(1.0)
    tensor(-0.6931)
    """

    support = constraints.boolean
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        name, given = one_of("Bernoulli", probs=probs, logits=logits)
        setattr(self, name, given)
        super().__init__(given.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        """p."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The more probable one, nan where both are alike."""
        likely = (self.probs >= 0.5).to(self.probs.dtype)
        return likely.masked_fill(self.probs == 0.5, math.nan)

    @property
    def variance(self) -> Tensor:
        """p (1 - p)."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Zeros and ones, in the element type of the parameter."""
        return bernoulli(self.probs.detach().expand(self.shape_of_samples(sample_shape)))

    def log_prob(self, value: Any) -> Tensor:
        """ln p where the value is 1, ln(1 - p) where it is 0."""
        value = self.checked(value)
        logits = self.logits + value * 0
        return -F.binary_cross_entropy_with_logits(logits, value + logits.detach() * 0, reduction="none")

    def entropy(self) -> Tensor:
        """-p ln p - (1 - p) ln(1 - p)."""
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0 and 1."""
        like = next(iter(self.parameters().values()))
        return listed(like.new_ones(2).cumsum(dim=0) - 1, self, expand)
