"""A generative stochastic network: a noisy chain that is trained to come back to the data.

See: Bengio, Yao, Alain & Vincent (2013), "Generalized denoising auto-encoders as generative models"
(walkback); Bengio, Laufer, Alain & Yosinski (2014), "Deep generative stochastic networks trainable by
backprop"; Bengio & Yao (2013), "Bounding the test log-likelihood of generative models".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor, no_grad, xp
from xpnn.autograd.functions.creation import as_tensor, zeros
from xpnn.autograd.functions.random import bernoulli, rand_like, randn_like
from xpnn.backend import ArgumentError


class GSN(nn.Module):
    """Layers of hidden units above a binary vector, each drawn from the layers beside it, again and again.

    A step corrupts the vector, computes the odd layers from the even ones and then the even ones from the
    odd, h_i = tanh(W_i h_(i-1) + V_i h_(i+1) + c_i + noise) + noise, and ends with the logits of the vector
    given h_1. From them the next vector is drawn. Training goes along this chain from the data and asks each
    step for the data ("walkback"): so states that the chain strays to are taught the way back.

    Args:
        features: numbers of a vector.
        hidden: units of each layer.
        corruption: the part of the numbers that are replaced by coin tosses in each step.
        noise: the standard deviation of the noise before and after tanh; the first layer has none, and reads
            the corrupted vector.
        walkback: steps of the chain in training.

    Shapes: (N, ...) of zeros and ones, `features` in all, to the logits (walkback, N, features) of each step.

    Raises: ArgumentError for no hidden layer, no step, or a corruption outside of [0, 1].

    >>> GSN(6, hidden=(4, 4), walkback=3)(xp.zeros((2, 6))).shape
    (3, 2, 6)
    """

    def __init__(
        self,
        features: int,
        hidden: Sequence[int] = (500,),
        corruption: float = 0.4,
        noise: float = 1.0,
        walkback: int = 5,
    ) -> None:
        if not hidden or walkback < 1 or not 0 <= corruption <= 1:
            raise ArgumentError(
                f"expects a hidden layer, a step and a corruption in [0, 1], got hidden={tuple(hidden)}, "
                f"walkback={walkback} and corruption={corruption}",
                subject="GSN",
            )
        self.features = features
        self.corruption, self.noise, self.walkback = corruption, noise, walkback
        sizes = [features, *hidden]
        self.up = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(sizes)])
        self.down = nn.ModuleList([nn.Linear(b, a, bias=i == 0) for i, (a, b) in enumerate(pairwise(sizes))])

    def forward(self, input: Any) -> Tensor:
        """The logits of the vectors at each step of the chain from `input`, (walkback, N, features)."""
        x = as_tensor(input).flatten(1).to(self.up[0].weight.dtype)
        layers = self._rest(len(x))
        steps = []
        for _ in range(self.walkback):
            logits, layers = self._step(x, layers)
            steps.append(logits)
            x = bernoulli(F.sigmoid(logits.detach()))
        return xp.stack(steps)

    def _rest(self, count: int) -> list[Tensor]:
        """The hidden layers before the first step."""
        return [
            zeros(count, up.out_features, dtype=up.weight.dtype, device=up.weight.device) for up in self.up
        ]

    def _step(self, x: Tensor, layers: list[Tensor], generator: Any = None) -> tuple[Tensor, list[Tensor]]:
        """The logits of the next vectors, and the hidden layers that they come from."""
        tossed = rand_like(x, generator=generator) < self.corruption
        coins = bernoulli(xp.full_like(x, 0.5), generator=generator)
        states = [xp.where(tossed, coins, x), *layers]
        for first in (1, 2):
            for i in range(first, len(states), 2):
                into = self.up[i - 1](states[i - 1])
                if i + 1 < len(states):
                    into = into + self.down[i](states[i + 1])
                if i > 1:
                    into = into + self.noise * randn_like(into, generator=generator)
                states[i] = F.tanh(into)
                if i > 1:
                    states[i] = states[i] + self.noise * randn_like(into, generator=generator)
        return self.down[0](states[1]), states[1:]

    def loss(self, images: Any) -> Tensor:
        """The cross entropy of the images, given each step of the chain from them: in bits for a number."""
        logits = self(images)
        return F.binary_cross_entropy_with_logits(
            logits, as_tensor(images).reshape(1, *logits.shape[1:]).expand(logits.shape).to(logits.dtype)
        ) / math.log(2)

    def chain(self, start: Any, steps: int, generator: Any = None) -> Tensor:
        """The logits (steps, N, features) of each step of chains that begin at vectors (N, ...)."""
        with no_grad():
            x = as_tensor(start).flatten(1).to(self.up[0].weight.dtype)
            layers = self._rest(len(x))
            logits = []
            for _ in range(steps):
                step, layers = self._step(x, layers, generator)
                logits.append(step)
                x = bernoulli(F.sigmoid(step), generator=generator)
            return xp.stack(logits)

    def sample(self, count: int, steps: int = 100, generator: Any = None) -> Tensor:
        """Vectors (count, features), each the end of a chain from coin tosses."""
        weight = self.up[0].weight
        start = bernoulli(
            0.5 + zeros(count, self.features, dtype=weight.dtype, device=weight.device), generator=generator
        )
        return bernoulli(F.sigmoid(self.chain(start, steps, generator)[-1]), generator=generator)

    def bits_per_pixel(self, images: Any, logits: Any) -> Tensor:
        """Minus the mean log2 probability of the numbers, if the chain's states are those in `logits`.

        The chain has no formula for the probability of a vector. It is the mean, over the states that the
        chain comes to, of the probability given the state. The logarithm of a mean over a part of them is too
        low on average, and so the bits are too many.

        Args:
            images: (N, ...).
            logits: (..., features), of states far from each other, as `chain` gives them.
        """
        states = logits.reshape(-1, self.features)
        x = as_tensor(images).flatten(1).to(states.dtype)
        with no_grad():
            log_p = x @ states.T - F.softplus(states).sum(1)
            mean = log_p.logsumexp(1) - math.log(len(states))
        return -mean.mean() / (self.features * math.log(2))
