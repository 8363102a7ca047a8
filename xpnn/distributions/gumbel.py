"""Gumbel's distribution."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import Tensor
from xpnn.distributions.distribution import EULER
from xpnn.distributions.location import Located

__all__ = ["Gumbel"]


class Gumbel(Located):
    """Gumbel's distribution: e^(-e^-z), z = (x - loc) / scale, is the probability of at most x.

    Args:
        loc, scale: place and width, which broadcast.

    >>> Gumbel(0.0, 1.0).mean
    tensor(0.5772)
    """

    @property
    def mean(self) -> Tensor:
        """loc + Euler's constant times scale."""
        return self.loc + self.scale * EULER

    @property
    def variance(self) -> Tensor:
        """(pi scale)^2 / 6."""
        return self.scale**2 * (math.pi**2 / 6)

    @property
    def stddev(self) -> Tensor:
        """pi scale over the root of 6."""
        return self.scale * (math.pi / math.sqrt(6))

    def log_prob(self, value: Any) -> Tensor:
        """-z - e^-z - ln(scale)."""
        z = self._standard(value)
        return -z - (-z).exp() - self.scale.log()

    def entropy(self) -> Tensor:
        """ln(scale) + 1 + Euler's constant."""
        return self.scale.log() + (1 + EULER)

    def cdf(self, value: Any) -> Tensor:
        """e^(-e^-z)."""
        return (-(-self._standard(value)).exp()).exp()

    def icdf(self, value: Any) -> Tensor:
        """loc - scale ln(-ln p)."""
        return self.loc - self.scale * (-self.checked_share(value).log()).log()
