"""Student's t distribution."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.autograd.functions.random import randn_like
from xpnn.autograd.functions.special import digamma, lgamma
from xpnn.distributions import constraints
from xpnn.distributions.chi2 import Chi2
from xpnn.distributions.distribution import Distribution, together

__all__ = ["StudentT"]


class StudentT(Distribution):
    """Student's t: a standard normal number over the root of chi2(df) / df, stretched and moved.

    Args:
        df: the degrees of freedom, above 0. loc, scale: place and width; all broadcast.

    >>> StudentT(3.0).variance
    tensor(3.)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "df": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.real
    has_rsample = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None) -> None:
        self.df, self.loc, self.scale = together(df, loc, scale, subject="StudentT")
        super().__init__(self.df.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        """`loc`, nan unless df > 1."""
        return where(self.df > 1, self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """scale^2 df / (df - 2), infinite for df in (1, 2], nan below."""
        finite = self.scale**2 * self.df / where(self.df > 2, self.df - 2, 1.0)
        return where(self.df > 2, finite, where(self.df > 1, math.inf, math.nan).to(finite.dtype))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """loc + scale times a normal number over the root of chi2(df) / df."""
        shape = self.shape_of_samples(sample_shape)
        noise = randn_like(self.df.detach().expand(shape))
        squares = Chi2(self.df, validate_args=False).rsample(sample_shape)
        return self.loc + self.scale * noise * (squares / self.df).rsqrt()

    def log_prob(self, value: Any) -> Tensor:
        """-(df + 1) / 2 ln(1 + z^2 / df) - ln(scale) - ln(df) / 2 - ln beta(1 / 2, df / 2)."""
        z = (self.checked(value) - self.loc) / self.scale
        tail = (self.df + 1) / 2 * (z**2 / self.df).log1p()
        return -tail - self.scale.log() - self.df.log() / 2 - _log_beta_half(self.df)

    def entropy(self) -> Tensor:
        """ln(scale) + (df + 1) / 2 (digamma((df + 1) / 2) - digamma(df / 2)) + ln(df) / 2 + ln beta."""
        spread = (self.df + 1) / 2 * (digamma((self.df + 1) / 2) - digamma(self.df / 2))
        return self.scale.log() + spread + self.df.log() / 2 + _log_beta_half(self.df)


def _log_beta_half(df: Tensor) -> Tensor:
    """ln beta(1 / 2, df / 2)."""
    return 0.5 * math.log(math.pi) + lgamma(df / 2) - lgamma((df + 1) / 2)
