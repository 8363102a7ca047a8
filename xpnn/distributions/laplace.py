"""Laplace's distribution."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.distributions.location import Located

__all__ = ["Laplace"]


class Laplace(Located):
    """Laplace's distribution: density e^(-|x - loc| / scale) / (2 scale).

    Args:
        loc, scale: place and width, which broadcast.

    >>> Laplace(0.0, 1.0).log_prob(0.0)
    tensor(-0.6931)
    """

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """2 scale^2."""
        return 2 * self.scale**2

    @property
    def stddev(self) -> Tensor:
        """The root of 2 times scale."""
        return math.sqrt(2) * self.scale

    def log_prob(self, value: Any) -> Tensor:
        """-|x - loc| / scale - ln(2 scale)."""
        return -(2 * self.scale).log() - self._standard(value).abs()

    def entropy(self) -> Tensor:
        """1 + ln(2 scale)."""
        return 1 + (2 * self.scale).log()

    def cdf(self, value: Any) -> Tensor:
        """e^z / 2 below loc, 1 - e^-z / 2 above."""
        z = self._standard(value)
        return 0.5 - 0.5 * z.sign() * (-z.abs()).expm1()

    def icdf(self, value: Any) -> Tensor:
        """loc + scale ln(2 p) below 1 / 2, loc - scale ln(2 - 2 p) above."""
        share = self.checked_share(value)
        low = share < 0.5
        tail = (2 * where(low, share, 1 - share)).log()
        return self.loc + self.scale * where(low, tail, -tail)
