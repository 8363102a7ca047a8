"""Distributions against PyTorch's: densities, entropies, moments, divergences, gradients; samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
import xpnn.distributions as ours
from xpnn.backend import ArgumentError, ShapeError
from xpnn.testing import gradcheck

torch = pytest.importorskip("torch")
theirs = torch.distributions

_random = np.random.default_rng(5)
LOC, OTHER = _random.standard_normal((2, 3)), _random.standard_normal((2, 3))
SCALE = _random.random((2, 3)) + 0.5
SHARES = _random.random((2, 3)) * 0.8 + 0.1
FACTOR = np.tril(_random.random((3, 3)) + 0.5)
COVARIANCE = FACTOR @ FACTOR.T

# Name -> how it is made of two parameters, these, and values that it is asked for.
MADE: dict[str, tuple[Callable[[Any, Any, Any], Any], Any, Any, Any]] = {
    "Normal": (lambda D, a, b: D.Normal(a, b), LOC, SCALE, OTHER),
    "Normal of numbers": (lambda D, a, b: D.Normal(a, 2.0), LOC, SCALE, OTHER),
    "Uniform": (lambda D, a, b: D.Uniform(a, a + b), LOC, SCALE, LOC + 0.3),
    "Bernoulli": (lambda D, a, b: D.Bernoulli(b), LOC, SHARES, (OTHER > 0) * 1.0),
    "Bernoulli of logits": (lambda D, a, b: D.Bernoulli(logits=a), LOC, SHARES, (OTHER > 0) * 1.0),
    "Categorical": (lambda D, a, b: D.Categorical(b), LOC, SHARES, np.asarray([2, 0])),
    "Categorical of logits": (
        lambda D, a, b: D.Categorical(logits=a),
        LOC,
        SHARES,
        np.asarray([[1, 2], [0, 0]]),
    ),
    "Independent": (lambda D, a, b: D.Independent(D.Normal(a, b), 1), LOC, SCALE, OTHER),
    "covariance": (lambda D, a, b: D.MultivariateNormal(a, b), LOC, COVARIANCE, OTHER),
    "scale_tril": (lambda D, a, b: D.MultivariateNormal(a, scale_tril=b), LOC, FACTOR, OTHER),
    "precision": (lambda D, a, b: D.MultivariateNormal(a, precision_matrix=b), LOC, COVARIANCE, OTHER),
}
BEYOND = {"Normal", "Normal of numbers", "Uniform"}


def pair_of(name: str, backend: Target) -> tuple[Any, Any, list[Any], list[Any], Any]:
    make, first, second, values = MADE[name]
    a = [xpnn.Tensor(backend.array(v), requires_grad=True) for v in (first, second)]
    b = [torch.tensor(v, requires_grad=True) for v in (first, second)]
    return make(ours, *a), make(theirs, *b), a, b, values


def same(mine: Any, expected: Any) -> None:
    assert mine.shape == tuple(expected.shape)
    np.testing.assert_allclose(xpnn.to_numpy(mine.detach()), expected.detach().numpy(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", MADE)
def test_densities_and_moments(name: str, backend: Target) -> None:
    p, q, a, b, values = pair_of(name, backend)
    assert (p.batch_shape, p.event_shape) == (tuple(q.batch_shape), tuple(q.event_shape))
    assert p.has_rsample == q.has_rsample
    mine, expected = p.log_prob(xpnn.Tensor(backend.array(values))), q.log_prob(torch.tensor(values))
    same(mine, expected)
    same(p.entropy(), q.entropy())
    if not name.startswith("Categorical"):
        same(p.mean, q.mean)
        same(p.variance, q.variance)
        same(p.stddev, q.stddev)
    if name in BEYOND:
        same(p.cdf(xpnn.Tensor(backend.array(values))), q.cdf(torch.tensor(values)))
    (mine.sum() + (p.entropy() ** 2).sum()).backward()
    (expected.sum() + (q.entropy() ** 2).sum()).backward()
    for x, y in zip(a, b):
        assert (x.grad is None) == (y.grad is None)
        if x.grad is not None:
            same(x.grad, y.grad)


@pytest.mark.parametrize("name", MADE)
def test_samples(name: str, backend: Target) -> None:
    p, q, a, _, _ = pair_of(name, backend)
    xpnn.manual_seed(1)
    empty = () if name.startswith("Categorical") else ((0,),)  # which PyTorch refuses
    for shape in ((), (2,), (3, 1), *empty):
        drawn = p.sample(shape)
        assert drawn.shape == tuple(q.sample(shape).shape)
        assert not drawn.requires_grad
    many = xpnn.to_numpy(p.sample((4000,)))
    if not name.startswith("Categorical"):
        deviation = q.stddev.detach().numpy()
        np.testing.assert_allclose(many.mean(0), q.mean.detach().numpy(), atol=0.1 * deviation.max())
        np.testing.assert_allclose(many.std(0), deviation, rtol=0.1)
    else:
        counts = np.stack([(many == k).mean(0) for k in range(3)], -1)
        np.testing.assert_allclose(counts, q.probs.detach().numpy(), atol=0.05)
    if p.has_rsample:
        p.rsample((2,)).sum().backward()
        assert a[0].grad is not None
    else:
        with pytest.raises(NotImplementedError, match="no rsample"):
            p.rsample()


PAIRS: dict[str, Callable[[Any, Any, Any], tuple[Any, Any]]] = {
    "Normal": lambda D, a, b: (D.Normal(a, b), D.Normal(b, 2 * b)),
    "Bernoulli": lambda D, a, b: (D.Bernoulli(logits=a), D.Bernoulli(logits=b * 3)),
    "Categorical": lambda D, a, b: (D.Categorical(logits=a), D.Categorical(logits=b)),
    "Uniform": lambda D, a, b: (D.Uniform(a, a + b), D.Uniform(a - 1, a + 2 * b)),
    "Uniform outside": lambda D, a, b: (D.Uniform(a, a + b), D.Uniform(a, a + b / 2)),
    "Independent": lambda D, a, b: (
        D.Independent(D.Normal(a, b), 1),
        D.Independent(D.Normal(b, b), 1),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_divergences(name: str, backend: Target) -> None:
    a, b = (xpnn.Tensor(backend.array(v), requires_grad=True) for v in (LOC, SCALE))
    c, d = (torch.tensor(v, requires_grad=True) for v in (LOC, SCALE))
    mine = ours.kl_divergence(*PAIRS[name](ours, a, b))
    same(mine, theirs.kl_divergence(*PAIRS[name](theirs, c, d)))
    if name != "Uniform outside":
        assert gradcheck(lambda a, b: ours.kl_divergence(*PAIRS[name](ours, a, b)), (a, b))


def test_the_inverse_of_the_distribution_function() -> None:
    normal = ours.Normal(1.0, 2.0)
    assert abs(normal.cdf(normal.icdf(0.3)).item() - 0.3) < 1e-6


def test_bad_arguments() -> None:
    zeros = xpnn.zeros(2)
    for make in (
        lambda: ours.Normal(0.0, -1.0),
        lambda: ours.Uniform(1.0, 0.0),
        lambda: ours.Bernoulli(1.5),
        lambda: ours.Categorical(zeros - 1),
        lambda: ours.Bernoulli(),
        lambda: ours.Categorical(zeros, zeros),
        lambda: ours.Bernoulli(0.5).log_prob(0.5),
        lambda: ours.Categorical(zeros + 1).log_prob(2),
        lambda: ours.MultivariateNormal(zeros),
        lambda: ours.Independent(ours.Normal(zeros, 1.0), 2),
    ):
        with pytest.raises(ArgumentError):
            make()
    ours.Normal(0.0, -1.0, validate_args=False)
    with pytest.raises(ShapeError):
        ours.Normal(zeros, 1.0).log_prob(xpnn.zeros(3))
    with pytest.raises(ShapeError):
        ours.Categorical(1.0)
    with pytest.raises(ShapeError):
        ours.MultivariateNormal(zeros, xpnn.eye(3))
    with pytest.raises(NotImplementedError, match="register_kl"):
        ours.kl_divergence(ours.Normal(0.0, 1.0), ours.Uniform(0.0, 1.0))


def test_divergences_can_be_registered() -> None:
    class Point(ours.Distribution):
        """All of it at 0."""

    @ours.register_kl(Point, ours.Normal)
    def _(p: Point, q: ours.Normal) -> Any:
        return -q.log_prob(0.0)

    assert abs(ours.kl_divergence(Point(), ours.Normal(0.0, 1.0)).item() - 0.9189385) < 1e-6
