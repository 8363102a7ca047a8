"""Distributions of finitely many outcomes: coins and categories."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.autograd.functions import gather, logit, sigmoid
from xpnn.autograd.functions.random import bernoulli, multinomial
from xpnn.backend import ArgumentError, ShapeError
from xpnn.distributions.distribution import Distribution, as_parameter

__all__ = ["Bernoulli", "Categorical"]


class Bernoulli(Distribution):
    """1 with probability p, else 0.

    Args:
        probs: p, in [0, 1]. logits: ln(p / (1 - p)); one of the two is given.

    >>> Bernoulli(0.5).log_prob(1.0)
    tensor(-0.6931)
    """

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        given = _one_of(probs, logits, "Bernoulli")
        super().__init__(given.shape, (), validate_args)
        if probs is not None:
            self.expect((given >= 0) & (given <= 1), "probs in [0, 1]")
        self.probs = given if probs is not None else sigmoid(given)
        self.logits = given if probs is None else logit(given, eps=_EPS)

    @property
    def mean(self) -> Tensor:
        """p."""
        return self.probs

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
        self.expect((value == 0) | (value == 1), "values 0 and 1")
        logits = self.logits + value * 0
        return -F.binary_cross_entropy_with_logits(logits, value + logits.detach() * 0, reduction="none")

    def entropy(self) -> Tensor:
        """-p ln p - (1 - p) ln(1 - p)."""
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def __repr__(self) -> str:
        return f"Bernoulli(probs: {self.probs.shape})"


class Categorical(Distribution):
    """One of the classes 0 ... n - 1.

    Args:
        probs: (..., n), of 0 or more; divided by their sum.
        logits: (..., n), their logarithms up to a constant; one of the two is given.

    >>> from xpnn.autograd import tensor
    >>> Categorical(tensor([1.0, 3.0])).log_prob(tensor(1))
    tensor(-0.2877)
    """

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        given = _one_of(probs, logits, "Categorical")
        if given.ndim < 1:
            raise ShapeError("expects an axis of classes, got a Tensor without axes", subject="Categorical")
        super().__init__(given.shape[:-1], (), validate_args)
        if probs is not None:
            self.expect(given >= 0, "probs of 0 or more")
            self.probs = given / given.sum(dim=-1, keepdim=True)
            self.logits = self.probs.clamp(_EPS, 1 - _EPS).log()
        else:
            self.logits = F.log_softmax(given, -1)
            self.probs = self.logits.exp()

    @property
    def mode(self) -> Tensor:
        """The most probable class."""
        return self.probs.argmax(dim=-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Classes, int64: (*sample_shape, *batch_shape)."""
        count = 1
        for size in sample_shape:
            count *= size
        rows = self.probs.detach().reshape(-1, self.probs.shape[-1])
        if count == 0 or rows.shape[0] == 0:
            return rows.new_zeros(self.shape_of_samples(sample_shape)).long()
        drawn = multinomial(rows, count, replacement=True)
        return drawn.T.reshape(self.shape_of_samples(sample_shape))

    def log_prob(self, value: Any) -> Tensor:
        """The logarithm of the probability of each class of `value`, integers."""
        value = self.checked(value).long()
        self.expect((value >= 0) & (value < self.logits.shape[-1]), f"classes below {self.logits.shape[-1]}")
        shape = (self.logits[..., 0] + value).shape
        logits = self.logits.expand((*shape, self.logits.shape[-1]))
        return gather(logits, -1, value.expand(shape)[..., None])[..., 0]

    def entropy(self) -> Tensor:
        """-sum of p ln p."""
        return -(self.probs * self.logits).sum(dim=-1)

    def __repr__(self) -> str:
        return f"Categorical(logits: {self.logits.shape})"


_EPS = 1.1920929e-07  # float32's, so that ln 0 is a number, as in PyTorch


def _one_of(probs: Any, logits: Any, subject: str) -> Tensor:
    if (probs is None) == (logits is None):
        raise ArgumentError("expects either probs or logits", subject=subject)
    return as_parameter(logits if probs is None else probs, subject)
