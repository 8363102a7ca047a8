"""The distribution of successes among so many trials."""

from __future__ import annotations

from typing import Any, ClassVar

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.autograd.functions import broadcast_tensors, where
from xpnn.autograd.functions.random import binomial
from xpnn.autograd.functions.special import lgamma
from xpnn.distributions import constraints
from xpnn.distributions.discrete import OfProbability, arange_like, listed
from xpnn.distributions.distribution import as_parameter, one_of

__all__ = ["Binomial"]


class Binomial(OfProbability):
    """How many of n trials of probability p succeed: probability p^k (1 - p)^(n - k) n! / (k! (n - k)!).

    Args:
        total_count: n, whole and of 0 or more. probs: p. logits: ln(p / (1 - p)); one of the two is given.

    >>> Binomial(4, 0.5).mean
    tensor(2.)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "total_count": constraints.nonnegative_integer,
        **OfProbability.arg_constraints,
    }
    has_enumerate_support = True

    def __init__(
        self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        name, given = one_of("Binomial", probs=probs, logits=logits)
        count = as_parameter(total_count, "Binomial").to(given.dtype)
        self.total_count, given = broadcast_tensors(count, given)
        setattr(self, name, given)
        super().__init__(given.shape, (), validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        """0 ... n."""
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        """n p."""
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        """The whole number below (n + 1) p, at most n."""
        found = ((self.total_count + 1) * self.probs).floor()
        return where(found > self.total_count, self.total_count, found)

    @property
    def variance(self) -> Tensor:
        """n p (1 - p)."""
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Counts in the element type of the parameter; drawn on the host."""
        shape = self.shape_of_samples(sample_shape)
        return binomial(self.total_count.detach().expand(shape), self.probs.detach().expand(shape))

    def log_prob(self, value: Any) -> Tensor:
        """ln(n! / (k! (n - k)!)) + k logits - n ln(1 + e^logits)."""
        value, n = self.checked(value), self.total_count
        ways = lgamma(n + 1) - lgamma(value + 1) - lgamma(n - value + 1)
        return ways + value * self.logits + n * F.logsigmoid(-self.logits)

    def entropy(self) -> Tensor:
        """-sum of p(k) ln p(k). Raises: NotImplementedError unless all n are one number."""
        logs = self.log_prob(self.enumerate_support(False))
        return -(logs.exp() * logs).sum(dim=0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0 ... n. Raises: NotImplementedError unless all n are one number."""
        largest = int(self.total_count.max().item())
        if not bool((self.total_count == largest).all()):
            raise NotImplementedError("the numbers of trials differ, and so do the supports")
        return listed(arange_like(self.total_count, largest + 1).to(self.total_count.dtype), self, expand)
