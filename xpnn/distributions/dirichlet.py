"""Dirichlet's distribution of probabilities."""

from __future__ import annotations

from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.autograd.functions.special import digamma, lgamma
from xpnn.backend import ShapeError
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, as_parameter
from xpnn.distributions.standard_gamma import log_standard_gamma

__all__ = ["Dirichlet"]


class Dirichlet(Distribution):
    """Probabilities (..., n) of sum 1: density prod x_i^(a_i - 1) gamma(sum a) / prod gamma(a_i).

    Drawn as gamma distributed numbers over their sum, with the gradient of that.

    Args:
        concentration: a (..., n), above 0.

    >>> from xpnn.autograd import tensor
    >>> Dirichlet(tensor([1.0, 3.0])).mean
    tensor([0.2500, 0.7500])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "concentration": constraints.independent(constraints.positive, 1)
    }
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        self.concentration = as_parameter(concentration, "Dirichlet")
        if self.concentration.ndim < 1:
            raise ShapeError("expects concentrations (..., n), got a number", subject="Dirichlet")
        shape = self.concentration.shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    @property
    def mean(self) -> Tensor:
        """a / sum a."""
        return self.concentration / self.concentration.sum(dim=-1, keepdim=True)

    @property
    def mode(self) -> Tensor:
        """(a - 1) / sum (a - 1), with 0 in place of what is below; where all are, the first gets all."""
        excess = (self.concentration - 1).clamp(min=0)
        total = excess.sum(dim=-1, keepdim=True)
        flat = (self.concentration < 1).all(dim=-1, keepdim=True)
        first = (excess * 0 + 1).cumsum(dim=-1) == 1
        return where(flat, first.to(excess.dtype), excess / where(flat, 1.0, total))

    @property
    def variance(self) -> Tensor:
        """a (s - a) / (s^2 (s + 1)) for s = sum a."""
        a, total = self.concentration, self.concentration.sum(dim=-1, keepdim=True)
        return a * (total - a) / (total**2 * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """The softmax of the logarithms of gamma distributed numbers, so that tiny ones do no harm."""
        logs = log_standard_gamma(self.concentration, self.shape_of_samples(sample_shape))
        return logs.softmax(dim=-1).to(self.concentration.dtype)

    def log_prob(self, value: Any) -> Tensor:
        """sum (a - 1) ln x + ln gamma(sum a) - sum ln gamma(a)."""
        a = self.concentration
        powers = (a - 1).xlogy(self.checked(value)).sum(dim=-1)
        return powers + lgamma(a.sum(dim=-1)) - lgamma(a).sum(dim=-1)

    def entropy(self) -> Tensor:
        """sum ln gamma(a) - ln gamma(s) - (n - s) digamma(s) - sum (a - 1) digamma(a) for s = sum a."""
        a, total = self.concentration, self.concentration.sum(dim=-1)
        parts = lgamma(a).sum(dim=-1) - lgamma(total) - (a.shape[-1] - total) * digamma(total)
        return parts - ((a - 1) * digamma(a)).sum(dim=-1)
