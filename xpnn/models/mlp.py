"""Fully connected networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.models.registry import register


class MLP(nn.Module):
    """Linear layers with ReLUs between them.

    Args:
        sizes: features of the input, of each hidden layer, and of the output: at least two.
        dropout: the probability of dropout behind each hidden layer.

    Shapes: (N, ...) with sizes[0] features in all to (N, sizes[-1]).

    >>> MLP([4, 8, 3])
    MLP(
      (layers): Sequential(
        (0): Flatten(start_dim=1, end_dim=-1)
        (1): Linear(in_features=4, out_features=8, bias=True)
        (2): ReLU()
        (3): Linear(in_features=8, out_features=3, bias=True)
      )
    )
    """

    def __init__(self, sizes: Sequence[int], dropout: float = 0.0) -> None:
        layers: list[nn.Module] = [nn.Flatten()]
        *hidden, last = pairwise(sizes)
        for inputs, outputs in hidden:
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*layers, nn.Linear(*last))

    def forward(self, input: Any) -> Tensor:
        """(N, ...) to the scores (N, sizes[-1])."""
        return self.layers(input)


@register(input_shape=(1, 28, 28))
def mlp(
    num_classes: int = 10,
    in_channels: int = 1,
    image_size: int = 28,
    hidden: Sequence[int] = (512, 512),
    dropout: float = 0.0,
) -> MLP:
    """An MLP for square images; by default the 784-512-512-10 of many a benchmark.

    >>> sum(p.size for p in mlp().parameters())
    669706
    """
    return MLP([in_channels * image_size**2, *hidden, num_classes], dropout)
