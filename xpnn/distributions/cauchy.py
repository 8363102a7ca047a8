"""Cauchy's distribution."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import Tensor
from xpnn.distributions.location import Located

__all__ = ["Cauchy"]


class Cauchy(Located):
    """Cauchy's distribution: density 1 / (pi scale (1 + ((x - loc) / scale)^2)); it has no mean.

    Args:
        loc, scale: the median and the half width at half of the maximum, which broadcast.

    >>> Cauchy(0.0, 1.0).log_prob(0.0)
    tensor(-1.1447)
    """

    @property
    def mean(self) -> Tensor:
        """nan: there is none."""
        return self.loc.detach() * 0 + math.nan

    @property
    def variance(self) -> Tensor:
        """Infinite."""
        return self.loc.detach() * 0 + math.inf

    def log_prob(self, value: Any) -> Tensor:
        """-ln(pi scale) - ln(1 + z^2)."""
        return -math.log(math.pi) - self.scale.log() - (self._standard(value) ** 2).log1p()

    def entropy(self) -> Tensor:
        """ln(4 pi scale)."""
        return math.log(4 * math.pi) + self.scale.log()

    def cdf(self, value: Any) -> Tensor:
        """atan(z) / pi + 1 / 2."""
        return self._standard(value).atan() / math.pi + 0.5

    def icdf(self, value: Any) -> Tensor:
        """loc + scale tan(pi (p - 1 / 2))."""
        return self.loc + self.scale * (math.pi * (self.checked_share(value) - 0.5)).tan()
