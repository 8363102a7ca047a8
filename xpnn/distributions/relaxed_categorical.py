"""Smooth stand-ins for categories, whose samples have gradients.

See: Maddison, Mnih & Teh (2017), "The Concrete distribution"; Jang, Gu & Poole (2017), "Categorical
reparameterization with Gumbel-softmax".
"""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.autograd.functions import logsumexp
from xpnn.autograd.functions.special import lgamma
from xpnn.distributions import constraints
from xpnn.distributions.discrete import OfCategories
from xpnn.distributions.distribution import as_parameter, open_uniform
from xpnn.distributions.relaxed import Relaxed
from xpnn.distributions.transforms import ExpTransform

__all__ = ["RelaxedOneHotCategorical"]


class ExpRelaxedCategorical(OfCategories):
    """The logarithms of `RelaxedOneHotCategorical`: log_softmax((logits + Gumbel noise) / temperature)."""

    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        super().__init__(probs, logits, True, validate_args)
        like = next(iter(self.parameters().values()))
        self.temperature = as_parameter(temperature, "RelaxedOneHotCategorical").to(like.dtype)
        self.expect(self.temperature > 0, "a temperature above 0", self.temperature)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """log_softmax((logits - ln(-ln u)) / temperature), u uniform."""
        share = open_uniform(self.logits, self.shape_of_samples(sample_shape))
        return F.log_softmax((self.logits - (-share.log()).log()) / self.temperature, -1)

    def log_prob(self, value: Any) -> Tensor:
        """ln gamma(n) + (n - 1) ln t + sum of log_softmax(logits - t x)."""
        score = self.logits - self.checked(value) * self.temperature
        n = score.shape[-1]
        scale = lgamma(self.temperature * 0 + n) + (n - 1) * self.temperature.log()
        return (score - logsumexp(score, dim=-1, keepdim=True)).sum(dim=-1) + scale


class RelaxedOneHotCategorical(Relaxed):
    """Probabilities (..., n) that near the vectors of `OneHotCategorical` as the temperature falls.

    Args:
        temperature: above 0. probs: (..., n), of 0 or more; divided by their sum.
        logits: (..., n), their logarithms up to a constant; one of the two is given.

    >>> from xpnn.autograd import tensor
    >>> RelaxedOneHotCategorical(0.5, tensor([1.0, 1.0])).sample().shape
    (2,)
    """

    arg_constraints = OfCategories.arg_constraints
    support = constraints.simplex

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args)
        super().__init__(base, ExpTransform(), validate_args)
