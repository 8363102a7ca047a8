"""Smooth stand-ins for coins, whose samples have gradients.

See: Maddison, Mnih & Teh (2017), "The Concrete distribution"; Jang, Gu & Poole (2017), "Categorical
reparameterization with Gumbel-softmax".
"""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.distributions import constraints
from xpnn.distributions.discrete import OfProbability
from xpnn.distributions.distribution import as_parameter, one_of, open_uniform
from xpnn.distributions.relaxed import Relaxed
from xpnn.distributions.transforms import SigmoidTransform

__all__ = ["RelaxedBernoulli"]


class LogitRelaxedBernoulli(OfProbability):
    """The logits of `RelaxedBernoulli`: (logits + logistic noise) / temperature."""

    support = constraints.real
    has_rsample = True

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        name, given = one_of("RelaxedBernoulli", probs=probs, logits=logits)
        setattr(self, name, given)
        self.temperature = as_parameter(temperature, "RelaxedBernoulli").to(given.dtype)
        super().__init__(given.shape, (), validate_args)
        self.expect(self.temperature > 0, "a temperature above 0", self.temperature)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """(logits + ln(u / (1 - u))) / temperature, u uniform."""
        share = open_uniform(self.logits, self.shape_of_samples(sample_shape))
        return (share.log() - (-share).log1p() + self.logits) / self.temperature

    def log_prob(self, value: Any) -> Tensor:
        """ln t + d - 2 ln(1 + e^d), d = logits - t x."""
        off = self.logits - self.checked(value) * self.temperature
        return self.temperature.log() + off + 2 * F.logsigmoid(-off)


class RelaxedBernoulli(Relaxed):
    """Numbers in (0, 1) that near the coins of `Bernoulli` as the temperature falls.

    Args:
        temperature: above 0. probs: p. logits: ln(p / (1 - p)); one of the two is given.

    >>> RelaxedBernoulli(0.5, 0.5).log_prob(0.5)
    tensor(-0.6931)
    """

    arg_constraints = OfProbability.arg_constraints
    support = constraints.unit_interval

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        base = LogitRelaxedBernoulli(temperature, probs, logits, validate_args)
        super().__init__(base, SigmoidTransform(), validate_args)
