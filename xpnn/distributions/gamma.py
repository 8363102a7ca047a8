"""Gamma distributions, and those that are made of gamma distributed numbers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.autograd import Tensor
from xpnn.autograd.functions import stack, where
from xpnn.autograd.functions.gamma import igamma
from xpnn.autograd.functions.random import randn_like
from xpnn.autograd.functions.special import digamma, lgamma
from xpnn.backend import DType, ShapeError
from xpnn.distributions import constraints
from xpnn.distributions.distribution import Distribution, as_parameter, together
from xpnn.distributions.standard_gamma import log_standard_gamma

__all__ = ["Beta", "Chi2", "Dirichlet", "FisherSnedecor", "Gamma", "InverseGamma", "StudentT"]

_TINY = {"float64": -708.0, "float32": -87.0, "bfloat16": -87.0, "float16": -9.5}  # ln of a normal number


class Gamma(Distribution):
    """The gamma distribution: density rate^a x^(a-1) e^(-rate x) / gamma(a), x > 0.

    `rsample` has the implicit gradient: how x moves with a while its place in the distribution stays.

    Args:
        concentration: a, above 0. rate: above 0; they broadcast.

    See: Figurnov, Mohamed & Mnih (2018), "Implicit reparameterization gradients".

    >>> Gamma(2.0, 1.0).log_prob(1.0)
    tensor(-1.)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = together(concentration, rate, subject=type(self).__name__)
        super().__init__(self.concentration.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        """a / rate."""
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        """(a - 1) / rate, or 0."""
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        """a / rate^2."""
        return self.concentration / self.rate**2

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw with gradients to both parameters; nothing is below the smallest normal number."""
        log_x = log_standard_gamma(self.concentration, self.shape_of_samples(sample_shape))
        logarithm = log_x - self.rate.log()
        return logarithm.clamp(min=_TINY[str(DType(logarithm.dtype).name)]).exp().to(self.rate.dtype)

    def log_prob(self, value: Any) -> Tensor:
        """a ln(rate) + (a - 1) ln x - rate x - ln gamma(a)."""
        value = self.checked(value)
        a = self.concentration
        return a * self.rate.log() + (a - 1).xlogy(value) - self.rate * value - lgamma(a)

    def entropy(self) -> Tensor:
        """a - ln(rate) + ln gamma(a) + (1 - a) digamma(a)."""
        a = self.concentration
        return a - self.rate.log() + lgamma(a) + (1 - a) * digamma(a)

    def cdf(self, value: Any) -> Tensor:
        """The lower incomplete gamma function P(a, rate x); it has no gradient to a."""
        return igamma(self.concentration, self.rate * self.checked(value))


class Chi2(Gamma):
    """The sum of the squares of `df` standard normal numbers: gamma of concentration df / 2 and rate 1 / 2.

    Args:
        df: the degrees of freedom, above 0.

    >>> Chi2(3.0).mean
    tensor(3.)
    """

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        df = as_parameter(df, "Chi2")
        super().__init__(0.5 * df, df * 0 + 0.5, validate_args)

    @property
    def df(self) -> Tensor:
        """The degrees of freedom."""
        return self.concentration * 2

    def __repr__(self) -> str:
        return f"Chi2(df: {self.df.item() if self.df.numel() == 1 else self.df.shape})"


class InverseGamma(Distribution):
    """The distribution of 1 / x for gamma distributed x: density rate^a x^(-a-1) e^(-rate / x) / gamma(a).

    Args:
        concentration: a, above 0. rate: above 0; they broadcast.

    >>> InverseGamma(3.0, 4.0).mean
    tensor(2.)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.positive
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = together(concentration, rate, subject="InverseGamma")
        super().__init__(self.concentration.shape, (), validate_args)

    @property
    def _of_inverse(self) -> Gamma:
        return Gamma(self.concentration, self.rate, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """rate / (a - 1), infinite unless a > 1."""
        a = self.concentration
        return where(a > 1, self.rate / where(a > 1, a - 1, 1.0), math.inf)

    @property
    def mode(self) -> Tensor:
        """rate / (a + 1)."""
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Tensor:
        """rate^2 / ((a - 1)^2 (a - 2)), infinite unless a > 2."""
        a = where(self.concentration > 2, self.concentration, 3.0)
        finite = self.rate**2 / ((a - 1) ** 2 * (a - 2))
        return where(self.concentration > 2, finite, math.inf)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """1 / x for gamma distributed x."""
        return 1 / self._of_inverse.rsample(sample_shape)

    def log_prob(self, value: Any) -> Tensor:
        """a ln(rate) - (a + 1) ln x - rate / x - ln gamma(a)."""
        value = self.checked(value)
        a = self.concentration
        return a * self.rate.log() - (a + 1) * value.log() - self.rate / value - lgamma(a)

    def entropy(self) -> Tensor:
        """a + ln(rate) + ln gamma(a) - (1 + a) digamma(a)."""
        a = self.concentration
        return a + self.rate.log() + lgamma(a) - (1 + a) * digamma(a)

    def cdf(self, value: Any) -> Tensor:
        """1 - P(a, rate / x)."""
        return 1 - self._of_inverse.cdf(1 / self.checked(value))


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
        return quotient.clamp(min=_TINY[str(DType(quotient.dtype).name)]).exp().to(self.df1.dtype)

    def log_prob(self, value: Any) -> Tensor:
        """a ln(df1 / df2) + (a - 1) ln x - (a + b) ln(1 + x df1 / df2) - ln beta(a, b), a, b the halves."""
        value = self.checked(value)
        a, b, ratio = self.df1 / 2, self.df2 / 2, self.df1 / self.df2
        powers = a * ratio.log() + (a - 1) * value.log() - (a + b) * (ratio * value).log1p()
        return powers + lgamma(a + b) - lgamma(a) - lgamma(b)


def _log_beta_half(df: Tensor) -> Tensor:
    """ln beta(1 / 2, df / 2)."""
    return 0.5 * math.log(math.pi) + lgamma(df / 2) - lgamma((df + 1) / 2)
