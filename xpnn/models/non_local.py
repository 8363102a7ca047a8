"""The non-local block: each cell of an image takes from all other cells what is like it.

See: Wang, Girshick, Gupta & He (2018), "Non-local neural networks".
"""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError

_KINDS = ("embedded_gaussian", "dot_product")


class NonLocalBlock(nn.Module):
    """The input plus what each cell finds in all cells; a block that can stand anywhere.

    y_i = sum_j f(x_i, x_j) g(x_j) / C, with f = exp(theta_i . phi_j) and C their sum ("embedded_gaussian"),
    or f = theta_i . phi_j and C the number of cells ("dot_product"). Batch norm behind it starts with a
    weight of 0, so that the block starts as the identity.

    Args:
        channels: of the input and the output.
        hidden: channels of theta, phi and g; None is half of them.
        kind: "embedded_gaussian" or "dot_product".

    Shapes: (N, channels, H, W) to the same.

    Raises: ArgumentError for another kind.
    """

    def __init__(self, channels: int, hidden: int | None = None, kind: str = "embedded_gaussian") -> None:
        if kind not in _KINDS:
            raise ArgumentError(f"expects kind {' or '.join(_KINDS)}, got {kind!r}", subject="NonLocalBlock")
        hidden = max(1, channels // 2) if hidden is None else hidden
        self.kind = kind
        self.theta = nn.Conv2d(channels, hidden, 1)
        self.phi = nn.Conv2d(channels, hidden, 1)
        self.g = nn.Conv2d(channels, hidden, 1)
        self.out = nn.Sequential(nn.Conv2d(hidden, channels, 1), nn.BatchNorm2d(channels))
        nn.init.zeros_(self.out[1].weight)

    def forward(self, input: Any) -> Tensor:
        """(N, channels, H, W) to the same."""
        theta, phi, g = (layer(input).flatten(2).mT for layer in (self.theta, self.phi, self.g))
        if self.kind == "embedded_gaussian":
            found = F.scaled_dot_product_attention(theta, phi, g, scale=1.0)
        else:
            found = theta @ (phi.mT @ g) / phi.shape[1]
        return input + self.out(found.mT.reshape(*theta.mT.shape[:2], *input.shape[2:]))
