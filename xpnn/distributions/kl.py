"""The Kullback-Leibler divergence of two distributions: mean under p of ln p - ln q."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.autograd.functions import where
from xpnn.distributions.discrete import Bernoulli, Categorical
from xpnn.distributions.distribution import Distribution
from xpnn.distributions.normal import Normal
from xpnn.distributions.uniform import Independent, Uniform

__all__ = ["kl_divergence", "register_kl"]

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
                return _RULES[kind, other](p, q)
    raise NotImplementedError(f"no divergence of {type(p).__name__} and {type(q).__name__}; see register_kl")


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale) ** 2
    return (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - ratio.log()) / 2


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    likely = F.softplus(-q.logits) - F.softplus(-p.logits)
    unlikely = F.softplus(q.logits) - F.softplus(p.logits)
    return p.probs * likely + (1 - p.probs) * unlikely


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    return (p.probs * (p.logits - q.logits)).sum(dim=-1)


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    outside = (q.low > p.low) | (q.high < p.high)
    return where(outside, math.inf, ((q.high - q.low) / (p.high - p.low)).log())


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("the events of the two distributions have different axes")
    return p.summed(kl_divergence(p.base_dist, q.base_dist))
