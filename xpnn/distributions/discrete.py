"""Distributions of finitely many outcomes: coins and categories."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.autograd.functions import gather, minimum, sigmoid
from xpnn.autograd.functions.random import bernoulli, rand_like
from xpnn.backend import ShapeError
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, lazy, one_of

__all__ = ["Bernoulli", "Categorical", "OneHotCategorical", "OneHotCategoricalStraightThrough"]


class OfProbability(Distribution):
    """What has a probability of success, by itself or as logits, ln(p / (1 - p))."""

    arg_constraints: ClassVar[dict[str, Any]] = {
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }

    @lazy
    def probs(self) -> Tensor:
        """p."""
        return sigmoid(self.logits)

    @lazy
    def logits(self) -> Tensor:
        """ln(p / (1 - p)), of a p kept off 0 and 1."""
        kept = off_the_ends(self.probs)
        return kept.log() - (-kept).log1p()


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


class OfCategories(Distribution):
    """What has a probability for each of n classes, by themselves (..., n) or as their logarithms."""

    arg_constraints: ClassVar[dict[str, Any]] = {
        "probs": constraints.simplex,
        "logits": constraints.real_vector,
    }

    def __init__(self, probs: Any, logits: Any, one_event: bool, validate_args: bool | None) -> None:
        name, given = one_of(type(self).__name__, probs=probs, logits=logits)
        if given.ndim < 1:
            raise ShapeError("expects an axis of classes, got a number", subject=type(self).__name__)
        if name == "probs":
            if validate_args is not None:
                self._validate_args = validate_args
            self.expect(given >= 0, "probs of 0 or more", given)
            self.probs = given / given.sum(dim=-1, keepdim=True)
        else:
            self.logits = F.log_softmax(given, -1)
        super().__init__(given.shape[:-1], given.shape[-1:] if one_event else (), validate_args)

    @lazy
    def probs(self) -> Tensor:
        """The probabilities, of sum 1."""
        return self.logits.exp()

    @lazy
    def logits(self) -> Tensor:
        """Their logarithms, of probabilities kept off 0 and 1."""
        return off_the_ends(self.probs).log()

    @property
    def param_shape(self) -> tuple[int, ...]:
        """The shape of the parameter."""
        return next(iter(self.parameters().values())).shape

    def entropy(self) -> Tensor:
        """-sum of p ln p."""
        return -(self.probs * self.logits).sum(dim=-1)

    def drawn(self, sample_shape: Any) -> Tensor:
        """Classes, int64: where uniform numbers fall among the running sums of the probabilities."""
        sums = self.probs.detach().cumsum(dim=-1)
        at = rand_like(sums[..., -1].expand((*sample_shape, *self.batch_shape))) * sums[..., -1]
        last = (sums < sums[..., -1:]).sum(dim=-1)  # the last class of a probability above 0
        return minimum((sums <= at[..., None]).sum(dim=-1), last)

    def log_prob_of(self, classes: Tensor) -> Tensor:
        """The logarithms of the probabilities of classes."""
        shape = (self.logits[..., 0] + classes).shape
        logits = self.logits.expand((*shape, self.logits.shape[-1]))
        return gather(logits, -1, classes.expand(shape)[..., None])[..., 0]

    def one_hot(self, classes: Tensor) -> Tensor:
        """1 at the class, 0 elsewhere, in the element type of the parameter."""
        like = next(iter(self.parameters().values()))
        return (classes[..., None] == arange_like(classes, self.param_shape[-1])).to(like.dtype)


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


def off_the_ends(probs: Tensor) -> Tensor:
    """Probabilities kept off 0 and 1, so that their logarithms are numbers, as in PyTorch."""
    epsilon = float(probs.__array_namespace__().finfo(probs.dtype).eps)
    return probs.clamp(epsilon, 1 - epsilon)


def listed(values: Tensor, distribution: Distribution, expand: bool) -> Tensor:
    """Values along a new first axis before those of a batch."""
    count, batch = values.shape[0], distribution.batch_shape
    values = values.reshape((count, *(1 for _ in batch)))
    return values.expand((count, *batch)) if expand else values


def arange_like(like: Tensor, count: int) -> Tensor:
    """0 ... count - 1, int64, on the backend and device of a Tensor."""
    return like.detach().new_ones(count).long().cumsum(dim=0) - 1
