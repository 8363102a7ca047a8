"""The distribution of a category, by its number."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import Tensor
from xpnn.distributions import constraints
from xpnn.distributions.discrete import OfCategories, arange_like, listed

__all__ = ["Categorical"]


class Categorical(OfCategories):
    """One of the classes 0 ... n - 1.

    Args:
        probs: (..., n), of 0 or more; divided by their sum.
        logits: (..., n), their logarithms up to a constant; one of the two is given.

    >>> from xpnn.autograd import tensor
    >>> Categorical(tensor([1.0, 3.0])).log_prob(tensor(1))
    tensor(-0.2877)
    """

    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        super().__init__(probs, logits, False, validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The classes."""
        return constraints.integer_interval(0, self.param_shape[-1] - 1)

    @property
    def mean(self) -> Tensor:
        """nan: classes are no numbers."""
        return self.probs.detach()[..., 0] * 0 + math.nan

    @property
    def variance(self) -> Tensor:
        """nan: classes are no numbers."""
        return self.mean

    @property
    def mode(self) -> Tensor:
        """The most probable class."""
        return self.probs.argmax(dim=-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Classes, int64: (*sample_shape, *batch_shape)."""
        return self.drawn(sample_shape)

    def log_prob(self, value: Any) -> Tensor:
        """The logarithm of the probability of each class of `value`, integers."""
        return self.log_prob_of(self.checked(value).long())

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0 ... n - 1."""
        return listed(arange_like(self.mode, self.param_shape[-1]), self, expand)
