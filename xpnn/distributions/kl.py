"""The Kullback-Leibler divergence of two distributions: mean under p of ln p - ln q."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.autograd.functions import mvlgamma, where
from xpnn.autograd.functions.special import digamma, erf, lgamma
from xpnn.distributions.bernoulli import Bernoulli
from xpnn.distributions.beta import Beta
from xpnn.distributions.binomial import Binomial
from xpnn.distributions.categorical import Categorical
from xpnn.distributions.cauchy import Cauchy
from xpnn.distributions.continuous_bernoulli import ContinuousBernoulli
from xpnn.distributions.dirichlet import Dirichlet
from xpnn.distributions.distribution import EULER, Distribution
from xpnn.distributions.exponential import Exponential
from xpnn.distributions.gamma import Gamma
from xpnn.distributions.geometric import Geometric
from xpnn.distributions.gumbel import Gumbel
from xpnn.distributions.half import half_of, holds_half, rounded, widened
from xpnn.distributions.half_normal import HalfNormal
from xpnn.distributions.independent import Independent
from xpnn.distributions.laplace import Laplace
from xpnn.distributions.lowrank_multivariate_normal import LowRankMultivariateNormal
from xpnn.distributions.multivariate_normal import MultivariateNormal
from xpnn.distributions.normal import Normal
from xpnn.distributions.one_hot_categorical import OneHotCategorical
from xpnn.distributions.pareto import Pareto
from xpnn.distributions.poisson import Poisson
from xpnn.distributions.transformed_distribution import TransformedDistribution
from xpnn.distributions.uniform import Uniform
from xpnn.distributions.wishart import Wishart

__all__ = ["kl_divergence", "register_kl"]

_LOG_2PI = math.log(2 * math.pi)
_RULES: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Callable], Callable]:
    """Decorate a function of p and q that computes the divergence of these types."""

    def register(rule: Callable) -> Callable:
        _RULES[type_p, type_q] = rule
        return rule

    return register


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The divergence KL(p || q) of each variable of a batch.

    Raises: NotImplementedError for types without a formula; `register_kl` gives them one.

    >>> kl_divergence(Normal(1.0, 1.0), Normal(0.0, 1.0))
    tensor(0.5000)
    """
    for kind in type(p).__mro__:
        for other in type(q).__mro__:
            if (kind, other) in _RULES:
                found = _RULES[kind, other](widened(p), widened(q))
                return rounded(found, half_of(p)) if holds_half(p) and holds_half(q) else found
    raise NotImplementedError(f"no divergence of {type(p).__name__} and {type(q).__name__}; see register_kl")


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: HalfNormal, q: HalfNormal) -> Tensor:
    ratio = (p.scale / q.scale) ** 2
    return (ratio - 1 - ratio.log()) / 2


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale) ** 2
    return (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - ratio.log()) / 2


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    likely = F.softplus(-q.logits) - F.softplus(-p.logits)
    unlikely = F.softplus(q.logits) - F.softplus(p.logits)
    return p.probs * likely + (1 - p.probs) * unlikely


@register_kl(OneHotCategorical, OneHotCategorical)
@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    return (p.probs * (p.logits - q.logits)).sum(dim=-1)


@register_kl(Beta, Beta)
def _beta(p: Beta, q: Beta) -> Tensor:
    a, b, c, d = p.concentration1, p.concentration0, q.concentration1, q.concentration0
    volumes = lgamma(c) + lgamma(d) - lgamma(c + d) - lgamma(a) - lgamma(b) + lgamma(a + b)
    return volumes + (a - c) * digamma(a) + (b - d) * digamma(b) + (c - a + d - b) * digamma(a + b)


@register_kl(Binomial, Binomial)
def _binomial(p: Binomial, q: Binomial) -> Tensor:
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError("there is no formula for fewer trials in p than in q")
    single = _bernoulli(p, q)  # type: ignore[arg-type]
    return where(p.total_count > q.total_count, math.inf, p.total_count * single)


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Cauchy, q: Cauchy) -> Tensor:
    spread = (p.scale + q.scale) ** 2 + (p.loc - q.loc) ** 2
    return spread.log() - (4 * p.scale * q.scale).log()


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: ContinuousBernoulli, q: ContinuousBernoulli) -> Tensor:
    return p.mean * (p.logits - q.logits) + p.log_prob(0.0) - q.log_prob(0.0)


@register_kl(Wishart, Wishart)
def _wishart(p: Wishart, q: Wishart) -> Tensor:
    """The mean of ln p - ln q, as ln q is linear in X and ln|X|."""
    d = p.event_shape[-1]
    counts = p.df.detach().new_ones(d).cumsum(dim=0) - 1
    slope = digamma((p.df[..., None] - counts) / 2).sum(dim=-1)
    xp = p.scale_tril.__array_namespace__()
    ratio = xp.linalg.solve(q.scale_tril, p.scale_tril)
    volume = 2 * ratio.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
    gammas = mvlgamma(q.df / 2, d) - mvlgamma(p.df / 2, d)
    spread = p.df / 2 * ((ratio**2).sum(dim=(-2, -1)) - d)
    return gammas + (p.df - q.df) / 2 * slope - q.df / 2 * volume + spread


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    a, c = p.concentration, q.concentration
    total = a.sum(dim=-1)
    volumes = lgamma(total) - lgamma(c.sum(dim=-1)) + (lgamma(c) - lgamma(a)).sum(dim=-1)
    return volumes + ((a - c) * (digamma(a) - digamma(total)[..., None])).sum(dim=-1)


@register_kl(Exponential, Exponential)
def _exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - ratio.log() - 1


@register_kl(Gamma, Gamma)
def _gamma(p: Gamma, q: Gamma) -> Tensor:
    a, c = p.concentration, q.concentration
    rates = c * (p.rate / q.rate).log() + a * (q.rate / p.rate - 1)
    return rates + lgamma(c) - lgamma(a) + (a - c) * digamma(a)


@register_kl(Geometric, Geometric)
def _geometric(p: Geometric, q: Geometric) -> Tensor:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Gumbel, q: Gumbel) -> Tensor:
    ratio, off = p.scale / q.scale, (p.loc - q.loc) / q.scale
    return off - ratio.log() + EULER * ratio + (lgamma(1 + ratio) - off).exp() - 1 - EULER


@register_kl(Laplace, Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    ratio, off = p.scale / q.scale, (p.loc - q.loc).abs()
    return off / q.scale - ratio.log() + ratio * (-off / p.scale).exp() - 1


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
@register_kl(MultivariateNormal, LowRankMultivariateNormal)
@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: Any, q: Any) -> Tensor:
    xp = p.scale_tril.__array_namespace__()
    both = q.scale_tril @ (p.scale_tril * 0 + xp.eye(p.event_shape[0], dtype=p.scale_tril.dtype))
    mixed = xp.linalg.solve(both, p.scale_tril + q.scale_tril * 0)
    off = xp.linalg.solve(both, (p.loc - q.loc)[..., None])
    volumes = (xp.linalg.diagonal(q.scale_tril).log() - xp.linalg.diagonal(p.scale_tril).log()).sum(dim=-1)
    return volumes + ((mixed**2).sum(dim=(-2, -1)) + (off**2).sum(dim=(-2, -1)) - p.event_shape[0]) / 2


@register_kl(Pareto, Pareto)
def _pareto(p: Pareto, q: Pareto) -> Tensor:
    ratio = q.alpha / p.alpha
    inside = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return where(p.scale < q.scale, math.inf, inside)


@register_kl(Poisson, Poisson)
def _poisson(p: Poisson, q: Poisson) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Bernoulli, Poisson)
def _bernoulli_to_poisson(p: Bernoulli, q: Poisson) -> Tensor:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    outside = (q.low > p.low) | (q.high < p.high)
    return where(outside, math.inf, ((q.high - q.low) / (p.high - p.low)).log())


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("the events of the two distributions have different axes")
    return p.summed(kl_divergence(p.base_dist, q.base_dist))


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: TransformedDistribution, q: TransformedDistribution) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError("the transforms of the two distributions differ")
    return kl_divergence(p.base_dist, q.base_dist)


# Distributions of different kinds: minus the entropy of p, minus the mean under p of ln q, which is made of
# the means of x, x^2, ln x and e^(-t x).


@register_kl(Beta, Normal)
@register_kl(Exponential, Normal)
@register_kl(Gamma, Normal)
@register_kl(Gumbel, Normal)
@register_kl(Laplace, Normal)
@register_kl(Pareto, Normal)
@register_kl(Uniform, Normal)
def _to_normal(p: Any, q: Normal) -> Tensor:
    square = (p.variance + (p.mean - q.loc) ** 2) / q.scale**2
    return square / 2 + q.scale.log() + _LOG_2PI / 2 - p.entropy()


@register_kl(Beta, Exponential)
@register_kl(Gamma, Exponential)
@register_kl(Pareto, Exponential)
@register_kl(Uniform, Exponential)
def _to_exponential(p: Any, q: Exponential) -> Tensor:
    return _unless_below_zero(p, q.rate * p.mean - q.rate.log() - p.entropy())


@register_kl(Beta, Gamma)
@register_kl(Exponential, Gamma)
@register_kl(Pareto, Gamma)
@register_kl(Uniform, Gamma)
def _to_gamma(p: Any, q: Gamma) -> Tensor:
    a = q.concentration
    mean = a * q.rate.log() - lgamma(a) + (a - 1) * _mean_log(p) - q.rate * p.mean
    return _unless_below_zero(p, -p.entropy() - mean)


@register_kl(Exponential, Gumbel)
@register_kl(Gamma, Gumbel)
@register_kl(Normal, Gumbel)
@register_kl(Uniform, Gumbel)
def _to_gumbel(p: Any, q: Gumbel) -> Tensor:
    falling = (q.loc / q.scale).exp() * _mean_exp(p, 1 / q.scale)
    return (p.mean - q.loc) / q.scale + falling + q.scale.log() - p.entropy()


@register_kl(Normal, Laplace)
def _normal_to_laplace(p: Normal, q: Laplace) -> Tensor:
    off = p.loc - q.loc
    z = off / p.scale
    distance = p.scale * math.sqrt(2 / math.pi) * (-(z**2) / 2).exp() + off * erf(z / math.sqrt(2))
    return distance / q.scale + (2 * q.scale).log() - p.entropy()


@register_kl(Beta, Uniform)
def _beta_to_uniform(p: Beta, q: Uniform) -> Tensor:
    inside = (q.high - q.low).log() - p.entropy()
    return where((q.low > 0) | (q.high < 1), math.inf, inside)


@register_kl(Uniform, Beta)
def _uniform_to_beta(p: Uniform, q: Beta) -> Tensor:
    a, b = q.concentration1, q.concentration0
    inside = (p.low >= 0) & (p.high <= 1)
    low, high = where(inside, p.low, 0.25), where(inside, p.high, 0.75)
    logs = (a - 1) * _mean_log_between(low, high) + (b - 1) * _mean_log_between(1 - high, 1 - low)
    found = lgamma(a) + lgamma(b) - lgamma(a + b) - logs - p.entropy()
    return where(inside, found, math.inf)


@register_kl(Uniform, Pareto)
def _uniform_to_pareto(p: Uniform, q: Pareto) -> Tensor:
    mean = q.alpha.log() + q.alpha * q.scale.log() - (q.alpha + 1) * _mean_log(p)
    return where(p.low < q.scale, math.inf, -p.entropy() - mean)


def _infinite(p: Distribution, q: Distribution) -> Tensor:
    """Where p has events that q has not."""
    first, other = (next(iter(d.parameters().values())).detach() * 0 for d in (p, q))
    return first + other + math.inf


for _kind, _others in {
    Beta: (Pareto,),
    Exponential: (Beta, Pareto, Uniform),
    Gamma: (Beta, Pareto, Uniform),
    Gumbel: (Beta, Exponential, Gamma, Pareto, Uniform),
    Laplace: (Beta, Exponential, Gamma, Pareto, Uniform),
    Normal: (Beta, Exponential, Gamma, Pareto, Uniform),
    Pareto: (Beta, Uniform),
    Poisson: (Bernoulli, Binomial),
}.items():
    for _other in _others:
        register_kl(_kind, _other)(_infinite)


def _unless_below_zero(p: Any, found: Tensor) -> Tensor:
    """Infinite where a uniform p reaches below 0."""
    return where(p.low < 0, math.inf, found) if isinstance(p, Uniform) else found


def _mean_log(p: Any) -> Tensor:
    """The mean of ln x."""
    if isinstance(p, Beta):
        return digamma(p.concentration1) - digamma(p.concentration1 + p.concentration0)
    if isinstance(p, Gamma):
        return digamma(p.concentration) - p.rate.log()
    if isinstance(p, Exponential):
        return -p.rate.log() - EULER
    if isinstance(p, Pareto):
        return p.scale.log() + 1 / p.alpha
    positive = p.low >= 0
    return _mean_log_between(where(positive, p.low, 1.0), where(positive, p.high, 2.0))


def _mean_log_between(low: Tensor, high: Tensor) -> Tensor:
    return (high.xlogy(high) - low.xlogy(low)) / (high - low) - 1


def _mean_exp(p: Any, t: Tensor) -> Tensor:
    """The mean of e^(-t x)."""
    if isinstance(p, Normal):
        return (t**2 * p.variance / 2 - t * p.loc).exp()
    if isinstance(p, Gamma):
        return (-p.concentration * (t / p.rate).log1p()).exp()
    if isinstance(p, Exponential):
        return p.rate / (p.rate + t)
    return ((-t * p.low).exp() - (-t * p.high).exp()) / (t * (p.high - p.low))
