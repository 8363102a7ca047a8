"""NADE: the hidden units of each number are those of the number before it, and what that number adds.

See: Larochelle & Murray (2011), "The neural autoregressive distribution estimator".
"""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor, no_grad, xp
from xpnn.autograd.functions.creation import as_tensor, zeros
from xpnn.autograd.functions.random import bernoulli
from xpnn.backend import ArgumentError
from xpnn.backend import asarray as backend_array
from xpnn.models.autoregressive import BinaryVectors


class NADE(BinaryVectors):
    """The probability of binary vectors: that of each number, given those before it.

    h_i = sigmoid(c + sum of W_j x_j over j < i), p(x_i = 1 | x_1 ... x_(i-1)) = sigmoid(b_i + V_i h_i): all
    numbers share the rows of W, so that the sums go on from number to number.

    Args:
        features: numbers of a vector.
        hidden: units of each number.

    Shapes: (N, ...) of zeros and ones, `features` in all, to the logits (N, features).

    Raises: ArgumentError for fewer than 1 of either.

    >>> NADE(6, hidden=4)(xp.zeros((2, 6))).shape
    (2, 6)
    """

    def __init__(self, features: int, hidden: int = 500) -> None:
        if features < 1 or hidden < 1:
            raise ArgumentError(
                f"expects features and hidden units, got {features} and {hidden}", subject="NADE"
            )
        self.features = features
        self.read = nn.Parameter(backend_array([[0.0] * hidden] * features))
        self.write = nn.Parameter(backend_array([[0.0] * hidden] * features))
        self.hidden_bias = nn.Parameter(backend_array([0.0] * hidden))
        self.bias = nn.Parameter(backend_array([0.0] * features))
        nn.init.xavier_uniform_(self.read)
        nn.init.xavier_uniform_(self.write)

    def forward(self, input: Any) -> Tensor:
        """The logits of each number's being 1, given those before it."""
        x = as_tensor(input).flatten(1).to(self.read.dtype)
        sums = (x[:, :-1, None] * self.read[:-1]).cumsum(1)
        before = self.hidden_bias + F.pad(sums, (0, 0, 1, 0))
        return (F.sigmoid(before) * self.write).sum(-1) + self.bias

    def sample(self, count: int, generator: Any = None) -> Tensor:
        """Vectors (count, features), drawn number by number; one pass makes them all."""
        weight = self.read
        columns = []
        with no_grad():
            before = self.hidden_bias + zeros(count, 1, dtype=weight.dtype, device=weight.device)
            for i in range(self.features):
                logits = F.sigmoid(before) @ self.write[i] + self.bias[i]
                columns.append(bernoulli(F.sigmoid(logits), generator=generator))
                before = before + columns[-1][:, None] * weight[i]
        return xp.stack(columns, axis=1)
