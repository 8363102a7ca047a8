"""MADE: an autoencoder whose weights are masked so that each output sees only the inputs before it.

See: Germain, Gregor, Murray & Larochelle (2015), "MADE: masked autoencoder for distribution estimation".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError
from xpnn.backend import asarray as backend_array
from xpnn.models.autoregressive import BinaryVectors


class MaskedLinear(nn.Linear):
    """A linear layer of which some weights are zero for good.

    Args:
        in_degrees, out_degrees: a number for each input and output.
        strict: an output sees inputs of smaller degrees; without it, of equal ones, too.
    """

    def __init__(self, in_degrees: Sequence[int], out_degrees: Sequence[int], strict: bool = False) -> None:
        super().__init__(len(in_degrees), len(out_degrees))
        mask = [[float(a < b or (a == b and not strict)) for a in in_degrees] for b in out_degrees]
        self.register_buffer("mask", backend_array(mask), persistent=False)

    def forward(self, input: Any) -> Tensor:
        """(..., in) to (..., out)."""
        return F.linear(input, self.weight * self.mask.to(self.weight.dtype), self.bias)


class MADE(BinaryVectors):
    """The probability of binary vectors: that of each number, given those before it.

    Args:
        features: numbers of a vector, at least 2.
        hidden: features of each hidden layer.

    Shapes: (N, ...) of zeros and ones, `features` in all, to the logits (N, features).

    Raises: ArgumentError for fewer than 2 features.
    """

    def __init__(self, features: int, hidden: Sequence[int] = (500,)) -> None:
        if features < 2:
            raise ArgumentError(f"expects at least 2 features, got {features}", subject="MADE")
        self.features = features
        degrees = [*range(1, features + 1)]
        layers: list[nn.Module] = [nn.Flatten()]
        before = degrees
        for count in hidden:
            # evenly from 1 to features - 1: what has seen the last number serves no output
            after = [1 + i % (features - 1) for i in range(count)]
            layers += [MaskedLinear(before, after), nn.ReLU()]
            before = after
        self.layers = nn.Sequential(*layers, MaskedLinear(before, degrees, strict=True))

    def forward(self, input: Any) -> Tensor:
        """The logits of each number's being 1, given those before it."""
        return self.layers(input)
