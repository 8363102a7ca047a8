"""The F distribution of Fisher and Snedecor."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.autograd.functions.special import lgamma
from xpnn.backend import DType
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, together
from xpnn.distributions.gamma import TINY
from xpnn.distributions.standard_gamma import log_standard_gamma

__all__ = ["FisherSnedecor"]


class FisherSnedecor(Distribution):
    """Fisher's F: chi2(df1) / df1 over chi2(df2) / df2.

    Args:
        df1, df2: the degrees of freedom, above 0; they broadcast.

    >>> FisherSnedecor(3.0, 4.0).mean
    tensor(2.)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None) -> None:
        self.df1, self.df2 = together(df1, df2, subject="FisherSnedecor")
        super().__init__(self.df1.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        """df2 / (df2 - 2), nan unless df2 > 2."""
        return where(self.df2 > 2, self.df2 / where(self.df2 > 2, self.df2 - 2, 1.0), math.nan)

    @property
    def mode(self) -> Tensor:
        """(df1 - 2) / df1 df2 / (df2 + 2), nan unless df1 > 2."""
        return where(self.df1 > 2, (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2), math.nan)

    @property
    def variance(self) -> Tensor:
        """2 df2^2 (df1 + df2 - 2) / (df1 (df2 - 2)^2 (df2 - 4)), nan unless df2 > 4."""
        b = where(self.df2 > 4, self.df2, 5.0)
        finite = 2 * b**2 * (self.df1 + b - 2) / (self.df1 * (b - 2) ** 2 * (b - 4))
        return where(self.df2 > 4, finite, math.nan)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """The quotient of two gamma distributed numbers of mean 1."""
        shape = self.shape_of_samples(sample_shape)
        above, below = (log_standard_gamma(df / 2, shape) - (df / 2).log() for df in (self.df1, self.df2))
        quotient = above - below
        return quotient.clamp(min=TINY[str(DType(quotient.dtype).name)]).exp().to(self.df1.dtype)

    def log_prob(self, value: Any) -> Tensor:
        """a ln(df1 / df2) + (a - 1) ln x - (a + b) ln(1 + x df1 / df2) - ln beta(a, b), a, b the halves."""
        value = self.checked(value)
        a, b, ratio = self.df1 / 2, self.df2 / 2, self.df1 / self.df2
        powers = a * ratio.log() + (a - 1) * value.log() - (a + b) * (ratio * value).log1p()
        return powers + lgamma(a + b) - lgamma(a) - lgamma(b)
