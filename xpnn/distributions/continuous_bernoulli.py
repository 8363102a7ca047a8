"""The continuous Bernoulli distribution, of numbers between 0 and 1 such as the pixels of a picture."""

from __future__ import annotations

import math
from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.backend import ArgumentError
from xpnn.distributions import constraints
from xpnn.distributions.discrete import OfProbability
from xpnn.distributions.distribution import InverseSampled, one_of
from xpnn.distributions.utils import clamp_probs

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(OfProbability, InverseSampled):
    """Numbers in [0, 1] of the density C p^x (1 - p)^(1 - x), C = 2 atanh(1 - 2 p) / (1 - 2 p).

    Args:
        probs: p, in [0, 1]; not the mean. logits: ln(p / (1 - p)); one of the two is given.
        lims: between these p the formulas, which divide by 1 - 2 p, are replaced by their series.

    See: Loaiza-Ganem & Cunningham (2019), "The continuous Bernoulli: fixing a pervasive error in variational
    autoencoders".

    >>> ContinuousBernoulli(0.5).log_prob(0.25)
    tensor(0.)
    """

    support = constraints.unit_interval

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        if not _are_limits(lims):
            raise ArgumentError(
                f"expects lims as two numbers around 0.5 in (0, 1), got {lims!r:.60}",
                subject="ContinuousBernoulli",
            )
        name, given = one_of("ContinuousBernoulli", probs=probs, logits=logits)
        setattr(self, name, given)
        self._lims = lims
        super().__init__(given.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        """p / (2 p - 1) + 1 / (2 atanh(1 - 2 p))."""
        away, p = self._away()
        off = self.probs - 0.5
        exact = p / (2 * p - 1) + 1 / (2 * (1 - 2 * p).atanh())
        return where(away, exact, 0.5 + (1 / 3 + 16 / 45 * off**2) * off)

    @property
    def variance(self) -> Tensor:
        """p (p - 1) / (1 - 2 p)^2 + 1 / (2 atanh(1 - 2 p))^2."""
        away, p = self._away()
        square = (self.probs - 0.5) ** 2
        exact = p * (p - 1) / (1 - 2 * p) ** 2 + 1 / (2 * (1 - 2 * p).atanh()) ** 2
        return where(away, exact, 1 / 12 - (1 / 15 - 128 / 945 * square) * square)

    def log_prob(self, value: Any) -> Tensor:
        """ln C + x logit(p) + ln(1 - p)."""
        return self.checked(value) * self.logits - F.softplus(self.logits) + self._log_constant()

    def entropy(self) -> Tensor:
        """-ln C - mean logit(p) - ln(1 - p)."""
        p = self._kept()
        other = (-p).log1p()
        return -self.mean * (p.log() - other) - self._log_constant() - other

    def cdf(self, value: Any) -> Tensor:
        """(p^x (1 - p)^(1 - x) + p - 1) / (2 p - 1)."""
        value = self.checked(value)
        away, p = self._away()
        exact = (p**value * (1 - p) ** (1 - value) + p - 1) / (2 * p - 1)
        return where(away, exact, value).clamp(0, 1)

    def icdf(self, value: Any) -> Tensor:
        """(ln(1 - p + q (2 p - 1)) - ln(1 - p)) / logit(p) for the probability q."""
        value = self.checked_share(value)
        away, p = self._away()
        other = (-p).log1p()
        return where(away, ((value * (2 * p - 1) - p).log1p() - other) / (p.log() - other), value)

    def _log_constant(self) -> Tensor:
        """ln C."""
        away, p = self._away()
        square = (self.probs - 0.5) ** 2
        constant = ((1 - 2 * p).atanh().abs() * 2).log() - (1 - 2 * p).abs().log()
        near = math.log(2) + (4 / 3 + 104 / 45 * square) * square
        return where(away, constant, near)

    def _away(self) -> tuple[Tensor, Tensor]:
        """Where p is not between the limits; and p, or the lower limit elsewhere."""
        p = self._kept()
        away = (p <= self._lims[0]) | (p > self._lims[1])
        return away, where(away, p, self._lims[0])

    def _kept(self) -> Tensor:
        """p off 0 and 1."""
        return clamp_probs(self.probs)


def _are_limits(lims: Any) -> bool:
    if not isinstance(lims, tuple | list) or len(lims) != 2:
        return False
    return all(isinstance(limit, int | float) for limit in lims) and 0 < lims[0] <= 0.5 <= lims[1] < 1
