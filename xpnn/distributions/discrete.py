"""What distributions of finitely many outcomes share: those of coins, and those of categories."""

from __future__ import annotations

from typing import Any, ClassVar

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.autograd.functions import gather, minimum
from xpnn.autograd.functions.random import rand_like
from xpnn.backend import ShapeError
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, lazy, one_of
from xpnn.distributions.utils import logits_to_probs, probs_to_logits


class OfProbability(Distribution):
    """What has a probability of success, by itself or as logits, ln(p / (1 - p))."""

    arg_constraints: ClassVar[dict[str, Any]] = {
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }

    @lazy
    def probs(self) -> Tensor:
        """p."""
        return logits_to_probs(self.logits, is_binary=True)

    @lazy
    def logits(self) -> Tensor:
        """ln(p / (1 - p)), of a p kept off 0 and 1."""
        return probs_to_logits(self.probs, is_binary=True)


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
        return probs_to_logits(self.probs)

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


def listed(values: Tensor, distribution: Distribution, expand: bool) -> Tensor:
    """Values along a new first axis before those of a batch."""
    count, batch = values.shape[0], distribution.batch_shape
    values = values.reshape((count, *(1 for _ in batch)))
    return values.expand((count, *batch)) if expand else values


def arange_like(like: Tensor, count: int) -> Tensor:
    """0 ... count - 1, int64, on the backend and device of a Tensor."""
    return like.detach().new_ones(count).long().cumsum(dim=0) - 1
