"""The distribution of successes before so many failures."""

from __future__ import annotations

from typing import Any, ClassVar

from xpnn import functional as F
from xpnn.autograd import Tensor, no_grad
from xpnn.autograd.functions import broadcast_tensors, where
from xpnn.autograd.functions.random import poisson
from xpnn.autograd.functions.special import lgamma
from xpnn.distributions import constraints
from xpnn.distributions.discrete import OfProbability
from xpnn.distributions.distribution import Distribution, as_parameter, one_of
from xpnn.distributions.gamma import Gamma

__all__ = ["NegativeBinomial"]


class NegativeBinomial(Distribution):
    """How many trials of probability p succeed before r have failed.

    Args:
        total_count: r, of 0 or more; it need not be whole. probs: p, in [0, 1).
        logits: ln(p / (1 - p)); one of the two is given.

    >>> NegativeBinomial(3.0, 0.5).mean
    tensor(3.)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "total_count": constraints.nonnegative,
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer
    probs, logits = vars(OfProbability)["probs"], vars(OfProbability)["logits"]

    def __init__(
        self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        name, given = one_of("NegativeBinomial", probs=probs, logits=logits)
        count = as_parameter(total_count, "NegativeBinomial").to(given.dtype)
        self.total_count, given = broadcast_tensors(count, given)
        setattr(self, name, given)
        super().__init__(given.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        """r p / (1 - p)."""
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        """The whole number below (r - 1) p / (1 - p), or 0."""
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0)

    @property
    def variance(self) -> Tensor:
        """r p / (1 - p)^2."""
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Poisson distributed counts of gamma distributed rates."""
        with no_grad():
            rates = Gamma(self.total_count, (-self.logits).exp(), validate_args=False).sample(sample_shape)
            return poisson(where(self.total_count > 0, rates, 0.0))

    def log_prob(self, value: Any) -> Tensor:
        """r ln(1 - p) + k ln p + ln(gamma(r + k) / (k! gamma(r)))."""
        value, r = self.checked(value), self.total_count
        chance = r * F.logsigmoid(-self.logits) + value * F.logsigmoid(self.logits)
        none = (r + value) == 0
        safe = where(none, 1.0, r)
        ways = lgamma(safe + value) - lgamma(value + 1) - lgamma(safe)
        return chance + where(none, 0.0, ways)
