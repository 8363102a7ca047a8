"""Local response norm."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad
from cases.layer import layer
from xpnn.backend import ArgumentError


def _naive(x, size, alpha=1e-4, beta=0.75, k=1.0):
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        around = x[:, max(c - size // 2, 0) : c + (size - 1) // 2 + 1]
        y[:, c] = x[:, c] / (k + alpha / size * (around**2).sum(1)) ** beta
    return y


CASES = [
    Case(
        "local_response_norm",
        F.local_response_norm,
        inputs=lambda rng, **options: (rng.standard_normal((2, 5, 2, 3)),),
        options=[{"size": 3, "alpha": 0.5, "beta": 0.75, "k": 2.0}, {"size": 2, "alpha": 1.0}, {"size": 7}],
        torch=lambda torch, x, **options: torch.nn.functional.local_response_norm(x, **options),
        naive=_naive,
        errors=[bad(ArgumentError, r"size of at least 1", size=0)],
    ),
]

LAYERS = [
    layer("LocalResponseNorm", (2, 5, 3), size=2, alpha=0.5),
    # Of more channels PyTorch's keeps the first.
    layer("CrossMapLRN2d", (2, 3, 2, 3), size=5, alpha=0.5).differing(
        gradient="PyTorch's takes the channels around one from one channel further on"
    ),
]
