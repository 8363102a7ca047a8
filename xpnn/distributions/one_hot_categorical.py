"""The distribution of a category, as a row with a one."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor
from xpnn.distributions import constraints
from xpnn.distributions.discrete import OfCategories, arange_like

__all__ = ["OneHotCategorical", "OneHotCategoricalStraightThrough"]


class OneHotCategorical(OfCategories):
    """One of n classes, as a vector of zeros with a 1 at the class; see `Categorical`.

    >>> from xpnn.autograd import tensor
    >>> OneHotCategorical(tensor([0.0, 1.0])).sample()
    tensor([0., 1.])
    """

    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        super().__init__(probs, logits, True, validate_args)

    @property
    def mean(self) -> Tensor:
        """The probabilities."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The most probable class."""
        return self.one_hot(self.probs.argmax(dim=-1))

    @property
    def variance(self) -> Tensor:
        """p (1 - p)."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Vectors of zeros and a 1."""
        return self.one_hot(self.drawn(sample_shape))

    def log_prob(self, value: Any) -> Tensor:
        """The logarithm of the probability of the class at which the 1 stands."""
        return self.log_prob_of(self.checked(value).argmax(dim=-1))

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All n vectors: (n, *batch_shape, n)."""
        classes = self.probs.detach()[..., 0] * 0
        count = self.param_shape[-1]
        rows = self.one_hot(arange_like(classes, count)).reshape((count, *(1 for _ in classes.shape), count))
        return rows.expand((count, *self.batch_shape, count)) if expand else rows


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """`OneHotCategorical` whose samples have the gradient of the probabilities, which is biased.

    See: Bengio, Leonard & Courville (2013), "Estimating or propagating gradients through stochastic neurons".
    """

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """A sample, + the probabilities, - the same without gradient."""
        return self.sample(sample_shape) + (self.probs - self.probs.detach())
