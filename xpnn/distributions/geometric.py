"""The distribution of failures before the first success."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor, no_grad
from xpnn.autograd.functions.probabilities import xlog1py
from xpnn.distributions import constraints
from xpnn.distributions.discrete import OfProbability
from xpnn.distributions.distribution import one_of, open_uniform

__all__ = ["Geometric"]


class Geometric(OfProbability):
    """How often a trial of probability p fails before the first success: probability (1 - p)^k p.

    Args:
        probs: p, in (0, 1]. logits: ln(p / (1 - p)); one of the two is given.

    >>> Geometric(0.25).mean
    tensor(3.)
    """

    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        name, given = one_of("Geometric", probs=probs, logits=logits)
        setattr(self, name, given)
        super().__init__(given.shape, (), validate_args)
        if name == "probs":
            self.expect(given > 0, "probs above 0", given)

    @property
    def mean(self) -> Tensor:
        """1 / p - 1."""
        return 1 / self.probs - 1

    @property
    def mode(self) -> Tensor:
        """0."""
        return self.probs.detach() * 0

    @property
    def variance(self) -> Tensor:
        """(1 / p - 1) / p."""
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """The whole number below ln(u) / ln(1 - p), u uniform."""
        with no_grad():
            share = open_uniform(self.probs, self.shape_of_samples(sample_shape))
            return (share.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Any) -> Tensor:
        """k ln(1 - p) + ln p."""
        return xlog1py(self.checked(value), -self.probs) + self.probs.log()

    def entropy(self) -> Tensor:
        """(-p ln p - (1 - p) ln(1 - p)) / p."""
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs
