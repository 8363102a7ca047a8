"""A restricted Boltzmann machine, trained by contrastive divergence.

See: Hinton (2002), "Training products of experts by minimizing contrastive divergence"; Tieleman (2008),
"Training restricted Boltzmann machines using approximations to the likelihood gradient" (chains that go on);
Salakhutdinov & Murray (2008), "On the quantitative analysis of deep belief networks" (annealing).
"""

from __future__ import annotations

import math
from typing import Any

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor, no_grad, xp
from xpnn.autograd.functions.creation import arange, as_tensor, zeros
from xpnn.autograd.functions.random import bernoulli, rand
from xpnn.backend import ArgumentError
from xpnn.backend import asarray as backend_array

_LARGEST_SUM = 24  # units on the smaller side, whose 2^n states are added up
_CHUNK = 2**12  # states at a time


class RBM(nn.Module):
    """Binary vectors v and hidden units h with p(v, h) = exp(b v + c h + h W v) / Z.

    Without edges within a side, each side is independent given the other; the hidden one can be summed out:
    p(v) = exp(-F(v)) / Z, with the free energy F(v) = -b v - sum of softplus(c + W v).

    Args:
        features, hidden: units that are seen, and that are not.
        chains: Gibbs chains that go on from one step of training to the next (persistent contrastive
            divergence); 0 starts each step's chains at the data.

    Shapes: (N, ...) of zeros and ones, `features` in all, to free energies (N,).

    Raises: ArgumentError for fewer than 1 unit, or negative chains.

    >>> RBM(6, 4)(xp.ones((2, 6))).shape
    (2,)
    """

    def __init__(self, features: int, hidden: int, chains: int = 0) -> None:
        if features < 1 or hidden < 1 or chains < 0:
            raise ArgumentError(
                f"expects units on both sides and no fewer than 0 chains, got features={features}, "
                f"hidden={hidden} and chains={chains}",
                subject="RBM",
            )
        self.features = features
        self.weight = nn.Parameter(backend_array([[0.0] * features] * hidden))
        self.bias = nn.Parameter(backend_array([0.0] * features))
        self.hidden_bias = nn.Parameter(backend_array([0.0] * hidden))
        nn.init.normal_(self.weight, std=0.01)
        self.register_buffer("chains", bernoulli(0.5 + zeros(chains, features)).array if chains else None)

    def forward(self, input: Any) -> Tensor:
        """The free energy of vectors, minus the logarithm of what their probability is proportional to."""
        v = as_tensor(input).flatten(1).to(self.weight.dtype)
        return -(v @ self.bias) - F.softplus(F.linear(v, self.weight, self.hidden_bias)).sum(1)

    def gibbs(self, input: Any, steps: int = 1, generator: Any = None) -> Tensor:
        """Vectors (N, features) after some steps of a chain: hidden units given v, then v given those."""
        v = as_tensor(input).flatten(1).to(self.weight.dtype)
        with no_grad():
            for _ in range(steps):
                v = self._step(v, 1.0, generator)
        return v

    def _step(self, v: Tensor, heat: float, generator: Any) -> Tensor:
        """A step at p(v, h) proportional to exp(b v + heat * (c h + h W v))."""
        hidden = F.sigmoid(heat * F.linear(v, self.weight, self.hidden_bias))
        drawn = bernoulli(hidden, generator=generator)
        return bernoulli(F.sigmoid(heat * (drawn @ self.weight) + self.bias), generator=generator)

    def loss(self, input: Any, steps: int = 1, generator: Any = None) -> Tensor:
        """What is differentiated to train: the free energy of data less that of where the chains come to.

        Its gradient is that of -log p(v), with the expectation over the model replaced by the chains'. Its
        value says nothing about how good the model is; `bits_per_pixel` does.

        Args:
            input: (N, ...).
            steps: of the chains, k of CD-k.
            generator: what is drawn from.
        """
        start = input if self.chains is None else self.chains
        end = self.gibbs(start, steps, generator)
        if self.chains is not None:
            self.chains.store(end.array)
        return self(input).mean() - self(end).mean()

    def sample(self, count: int, steps: int = 1000, generator: Any = None) -> Tensor:
        """Vectors (count, features), the ends of chains from coin tosses."""
        weight = self.weight
        start = (
            rand(count, self.features, dtype=weight.dtype, device=weight.device, generator=generator) < 0.5
        )
        return self.gibbs(start, steps, generator)

    def log_partition(self) -> Tensor:
        """log Z, by adding up over all states of the smaller side.

        Raises: ArgumentError if both sides have more than 24 units; `annealed_log_partition` estimates it.
        """
        hidden, features = self.weight.shape
        smaller = min(hidden, features)
        if smaller > _LARGEST_SUM:
            raise ArgumentError(
                f"expects a side of at most {_LARGEST_SUM} units to add up over, got {features} and {hidden}",
                subject="RBM.log_partition",
                hint="Estimate it: annealed_log_partition()",
            )
        device = self.weight.device
        places = arange(smaller, device=device)
        parts = []
        for start in range(0, 2**smaller, _CHUNK):
            numbers = arange(start, min(start + _CHUNK, 2**smaller), device=device)
            states = ((numbers[:, None] >> places) & 1).to(self.weight.dtype)
            if features <= hidden:
                energies = -self(states)
            else:
                energies = states @ self.hidden_bias + F.softplus(states @ self.weight + self.bias).sum(1)
            parts.append(energies.logsumexp(0))
        return xp.stack(parts).logsumexp(0)

    def annealed_log_partition(self, chains: int = 100, steps: int = 1000, generator: Any = None) -> Tensor:
        """log Z, estimated by annealed importance sampling.

        Chains start at the model without weights, of which Z is known, and reach this one by way of `steps`
        models between. Each multiplies up the ratios of the probabilities that it meets; their mean is the
        ratio of both Z, without bias, and its logarithm on average a little too low.

        Args:
            chains: whose mean is taken. steps: models from first to last; more of them, less variance.
            generator: what is drawn from.

        Raises: ArgumentError for fewer than 1 of either.
        """
        if chains < 1 or steps < 1:
            raise ArgumentError(
                f"expects chains and steps of at least 1, got {chains} and {steps}",
                subject="RBM.annealed_log_partition",
            )
        with no_grad():
            p = F.sigmoid(self.bias) + zeros(chains, 1, dtype=self.weight.dtype, device=self.weight.device)
            v = bernoulli(p, generator=generator)
            log_weights = p[:, 0] * 0.0
            for step in range(1, steps + 1):
                inputs = F.linear(v, self.weight, self.hidden_bias)
                heat, before = step / steps, (step - 1) / steps
                log_weights = log_weights + (F.softplus(heat * inputs) - F.softplus(before * inputs)).sum(1)
                v = self._step(v, heat, generator)
            first = F.softplus(self.bias).sum() + self.hidden_bias.shape[0] * math.log(2)
            return first + log_weights.logsumexp(0) - math.log(chains)

    def bits_per_pixel(self, input: Any, log_partition: Any = None) -> Tensor:
        """Minus the mean log2 probability of the numbers.

        Args:
            input: (N, ...). log_partition: log Z; None adds it up by `log_partition()`.
        """
        log_z = self.log_partition() if log_partition is None else log_partition
        return (self(input).mean() + log_z) / (self.features * math.log(2))
