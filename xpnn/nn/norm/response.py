"""Local response norm as modules; see `functional.local_response_norm`."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.functional.norm.response import divided_by_energy
from xpnn.nn.module import Module

__all__ = ["CrossMapLRN2d", "LocalResponseNorm"]


class LocalResponseNorm(Module):
    """Divide each channel by a root of the energy of the channels around it.

    Args:
        size: how many channels there are in the sum.
        alpha, beta, k: as of `functional.local_response_norm`.

    >>> from xpnn.autograd import xp
    >>> LocalResponseNorm(2)(xp.zeros((1, 4, 3))).shape
    (1, 4, 3)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Any) -> Tensor:
        """(N, C, ...), normalised."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(Module):
    """`LocalResponseNorm` of images by its older name; of an even size it leaves the first channel out.

    PyTorch's never takes channel 0 out of its running sum again, so that its results differ from channel
    `size // 2 + 1` on; this one is the formula.

    Args:
        size: how many channels there are in the sum.
        alpha, beta, k: as of `functional.local_response_norm`.

    >>> from xpnn.autograd import xp
    >>> CrossMapLRN2d(3)(xp.zeros((1, 4, 3, 3))).shape
    (1, 4, 3, 3)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Any) -> Tensor:
        """(N, C, H, W), normalised."""
        reach = (self.size - 1) // 2
        return divided_by_energy(
            input, (reach, reach), self.size, self.alpha, self.beta, self.k, "CrossMapLRN2d"
        )

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
