"""The distribution of how often each category is drawn."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.autograd.functions.special import lgamma
from xpnn.backend import ArgumentError
from xpnn.distributions import constraints
from xpnn.distributions.binomial import Binomial
from xpnn.distributions.discrete import OfCategories

__all__ = ["Multinomial"]


class Multinomial(OfCategories):
    """How often each of n classes comes in a number of draws.

    Args:
        total_count: of draws, an int. probs: (..., n), of 0 or more; divided by their sum.
        logits: (..., n), their logarithms up to a constant; one of the two is given.

    >>> from xpnn.autograd import tensor
    >>> Multinomial(4, tensor([1.0, 3.0])).mean
    tensor([1., 3.])
    """

    def __init__(
        self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        if not isinstance(total_count, int) or total_count < 0:
            raise ArgumentError(
                f"expects a whole number of draws, got {total_count!r:.60}", subject="Multinomial"
            )
        self.total_count = total_count
        super().__init__(probs, logits, True, validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """Counts whose sum is the number of draws."""
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Tensor:
        """The number of draws times p."""
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        """The number of draws times p (1 - p)."""
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Counts in the element type of the parameter."""
        return self.one_hot(self.drawn((self.total_count, *sample_shape))).sum(dim=0)

    def log_prob(self, value: Any) -> Tensor:
        """ln of (sum k)! / prod k_i! prod p_i^k_i."""
        value = self.checked(value)
        ways = lgamma(value.sum(dim=-1) + 1) - lgamma(value + 1).sum(dim=-1)
        chance = where((value == 0) & self.logits.isinf(), 0.0, self.logits * value)
        return ways + chance.sum(dim=-1)

    def entropy(self) -> Tensor:
        """The sum over all outcomes, by those of the classes one by one."""
        n = self.total_count
        single = super().entropy()
        counts = Binomial(n, self.probs, validate_args=False)
        numbers = counts.enumerate_support(False)[1:]
        weighed = (counts.log_prob(numbers).exp() * lgamma(numbers + 1)).sum(dim=(0, -1))
        return n * single - lgamma(single.new_ones(()) * (n + 1)) + weighed
