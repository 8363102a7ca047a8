"""The beta distribution of a probability."""

from __future__ import annotations

from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import stack
from xpnn.autograd.functions.special import lgamma
from xpnn.distributions import constraints
from xpnn.distributions.dirichlet import Dirichlet
from xpnn.distributions.distribution import Distribution, together

__all__ = ["Beta"]


class Beta(Distribution):
    """The beta distribution: density x^(a-1) (1 - x)^(b-1) gamma(a + b) / (gamma(a) gamma(b)), 0 < x < 1.

    Args:
        concentration1: a, above 0. concentration0: b, above 0; they broadcast.

    >>> Beta(1.0, 3.0).mean
    tensor(0.2500)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        self.concentration1, self.concentration0 = together(concentration1, concentration0, subject="Beta")
        super().__init__(self.concentration1.shape, (), validate_args)

    @property
    def _pair(self) -> Dirichlet:
        return Dirichlet(stack([self.concentration1, self.concentration0], -1), self.validate_args)

    @property
    def mean(self) -> Tensor:
        """a / (a + b)."""
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Tensor:
        """That of the Dirichlet distribution of (a, b)."""
        return self._pair.mode[..., 0]

    @property
    def variance(self) -> Tensor:
        """a b / ((a + b)^2 (a + b + 1))."""
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total**2 * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """The first of two numbers of the Dirichlet distribution of (a, b)."""
        return self._pair.rsample(sample_shape)[..., 0]

    def log_prob(self, value: Any) -> Tensor:
        """(a - 1) ln x + (b - 1) ln(1 - x) - ln beta(a, b)."""
        value = self.checked(value)
        a, b = self.concentration1, self.concentration0
        powers = (a - 1).xlogy(value) + (b - 1).xlogy(1 - value)
        return powers + lgamma(a + b) - lgamma(a) - lgamma(b)

    def entropy(self) -> Tensor:
        """That of the Dirichlet distribution of (a, b)."""
        return self._pair.entropy()
