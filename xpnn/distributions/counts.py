"""Distributions of counts: of events, of trials, and of outcomes among several."""

from __future__ import annotations

from typing import Any, ClassVar

from xpnn import functional as F
from xpnn.autograd import Tensor, no_grad
from xpnn.autograd.functions import broadcast_tensors, where
from xpnn.autograd.functions.probabilities import xlog1py
from xpnn.autograd.functions.random import binomial, poisson
from xpnn.autograd.functions.special import lgamma
from xpnn.backend import ArgumentError
from xpnn.distributions import constraints
from xpnn.distributions.discrete import OfCategories, OfProbability, arange_like, listed
from xpnn.distributions.distribution import Distribution, as_parameter, one_of, open_uniform
from xpnn.distributions.gamma import Gamma

__all__ = ["Binomial", "Geometric", "Multinomial", "NegativeBinomial", "Poisson"]


class Poisson(Distribution):
    """How often something happens: probability rate^k e^-rate / k!.

    Args:
        rate: the expected number, of 0 or more.

    >>> Poisson(2.0).log_prob(0.0)
    tensor(-2.)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        self.rate = as_parameter(rate, "Poisson")
        super().__init__(self.rate.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        """`rate`."""
        return self.rate

    @property
    def mode(self) -> Tensor:
        """The whole number below `rate`."""
        return self.rate.floor()

    @property
    def variance(self) -> Tensor:
        """`rate`."""
        return self.rate

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Counts in the element type of the parameter; drawn on the host."""
        return poisson(self.rate.detach().expand(self.shape_of_samples(sample_shape)))

    def log_prob(self, value: Any) -> Tensor:
        """k ln(rate) - rate - ln k!."""
        value = self.checked(value)
        return value.xlogy(self.rate) - self.rate - lgamma(value + 1)


class Geometric(OfProbability):
    """How often a trial of probability p fails before the first success: probability (1 - p)^k p.

    Args:
        probs: p, in (0, 1]. logits: ln(p / (1 - p)); one of the two is given.

    >>> Geometric(0.25).mean
    tensor(3.)
    """

    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        name, given = one_of("Geometric", probs=probs, logits=logits)
        setattr(self, name, given)
        super().__init__(given.shape, (), validate_args)
        if name == "probs":
            self.expect(given > 0, "probs above 0", given)

    @property
    def mean(self) -> Tensor:
        """1 / p - 1."""
        return 1 / self.probs - 1

    @property
    def mode(self) -> Tensor:
        """0."""
        return self.probs.detach() * 0

    @property
    def variance(self) -> Tensor:
        """(1 / p - 1) / p."""
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """The whole number below ln(u) / ln(1 - p), u uniform."""
        with no_grad():
            share = open_uniform(self.probs, self.shape_of_samples(sample_shape))
            return (share.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Any) -> Tensor:
        """k ln(1 - p) + ln p."""
        return xlog1py(self.checked(value), -self.probs) + self.probs.log()

    def entropy(self) -> Tensor:
        """(-p ln p - (1 - p) ln(1 - p)) / p."""
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs


class Binomial(OfProbability):
    """How many of n trials of probability p succeed: probability p^k (1 - p)^(n - k) n! / (k! (n - k)!).

    Args:
        total_count: n, whole and of 0 or more. probs: p. logits: ln(p / (1 - p)); one of the two is given.

    >>> Binomial(4, 0.5).mean
    tensor(2.)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "total_count": constraints.nonnegative_integer,
        **OfProbability.arg_constraints,
    }
    has_enumerate_support = True

    def __init__(
        self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        name, given = one_of("Binomial", probs=probs, logits=logits)
        count = as_parameter(total_count, "Binomial").to(given.dtype)
        self.total_count, given = broadcast_tensors(count, given)
        setattr(self, name, given)
        super().__init__(given.shape, (), validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        """0 ... n."""
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        """n p."""
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        """The whole number below (n + 1) p, at most n."""
        found = ((self.total_count + 1) * self.probs).floor()
        return where(found > self.total_count, self.total_count, found)

    @property
    def variance(self) -> Tensor:
        """n p (1 - p)."""
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Counts in the element type of the parameter; drawn on the host."""
        shape = self.shape_of_samples(sample_shape)
        return binomial(self.total_count.detach().expand(shape), self.probs.detach().expand(shape))

    def log_prob(self, value: Any) -> Tensor:
        """ln(n! / (k! (n - k)!)) + k logits - n ln(1 + e^logits)."""
        value, n = self.checked(value), self.total_count
        ways = lgamma(n + 1) - lgamma(value + 1) - lgamma(n - value + 1)
        return ways + value * self.logits + n * F.logsigmoid(-self.logits)

    def entropy(self) -> Tensor:
        """-sum of p(k) ln p(k). Raises: NotImplementedError unless all n are one number."""
        logs = self.log_prob(self.enumerate_support(False))
        return -(logs.exp() * logs).sum(dim=0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0 ... n. Raises: NotImplementedError unless all n are one number."""
        largest = int(self.total_count.max().item())
        if not bool((self.total_count == largest).all()):
            raise NotImplementedError("the numbers of trials differ, and so do the supports")
        return listed(arange_like(self.total_count, largest + 1).to(self.total_count.dtype), self, expand)


class NegativeBinomial(Distribution):
    """How many trials of probability p succeed before r have failed.

    Args:
        total_count: r, of 0 or more; it need not be whole. probs: p, in [0, 1).
        logits: ln(p / (1 - p)); one of the two is given.

    >>> NegativeBinomial(3.0, 0.5).mean
    tensor(3.)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "total_count": constraints.nonnegative,
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer
    probs, logits = vars(OfProbability)["probs"], vars(OfProbability)["logits"]

    def __init__(
        self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        name, given = one_of("NegativeBinomial", probs=probs, logits=logits)
        count = as_parameter(total_count, "NegativeBinomial").to(given.dtype)
        self.total_count, given = broadcast_tensors(count, given)
        setattr(self, name, given)
        super().__init__(given.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        """r p / (1 - p)."""
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        """The whole number below (r - 1) p / (1 - p), or 0."""
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0)

    @property
    def variance(self) -> Tensor:
        """r p / (1 - p)^2."""
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Poisson distributed counts of gamma distributed rates."""
        with no_grad():
            rates = Gamma(self.total_count, (-self.logits).exp(), validate_args=False).sample(sample_shape)
            return poisson(where(self.total_count > 0, rates, 0.0))

    def log_prob(self, value: Any) -> Tensor:
        """r ln(1 - p) + k ln p + ln(gamma(r + k) / (k! gamma(r)))."""
        value, r = self.checked(value), self.total_count
        chance = r * F.logsigmoid(-self.logits) + value * F.logsigmoid(self.logits)
        none = (r + value) == 0
        safe = where(none, 1.0, r)
        ways = lgamma(safe + value) - lgamma(value + 1) - lgamma(safe)
        return chance + where(none, 0.0, ways)


class Multinomial(OfCategories):
    """How often each of n classes comes in a number of draws.

    Args:
        total_count: of draws, an int. probs: (..., n), of 0 or more; divided by their sum.
        logits: (..., n), their logarithms up to a constant; one of the two is given.

    >>> from xpnn.autograd import tensor
    >>> Multinomial(4, tensor([1.0, 3.0])).mean
    tensor([1., 3.])
    """

    def __init__(
        self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        if not isinstance(total_count, int) or total_count < 0:
            raise ArgumentError(
                f"expects a whole number of draws, got {total_count!r:.60}", subject="Multinomial"
            )
        self.total_count = total_count
        super().__init__(probs, logits, True, validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """Counts whose sum is the number of draws."""
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Tensor:
        """The number of draws times p."""
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        """The number of draws times p (1 - p)."""
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Counts in the element type of the parameter."""
        return self.one_hot(self.drawn((self.total_count, *sample_shape))).sum(dim=0)

    def log_prob(self, value: Any) -> Tensor:
        """ln of (sum k)! / prod k_i! prod p_i^k_i."""
        value = self.checked(value)
        ways = lgamma(value.sum(dim=-1) + 1) - lgamma(value + 1).sum(dim=-1)
        chance = where((value == 0) & self.logits.isinf(), 0.0, self.logits * value)
        return ways + chance.sum(dim=-1)

    def entropy(self) -> Tensor:
        """The sum over all outcomes, by those of the classes one by one."""
        n = self.total_count
        single = super().entropy()
        counts = Binomial(n, self.probs, validate_args=False)
        numbers = counts.enumerate_support(False)[1:]
        weighed = (counts.log_prob(numbers).exp() * lgamma(numbers + 1)).sum(dim=(0, -1))
        return n * single - lgamma(single.new_ones(()) * (n + 1)) + weighed
