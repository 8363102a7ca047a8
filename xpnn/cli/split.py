"""A random part of the samples to test on, with its share of each class."""

from __future__ import annotations

import numpy as np

_SHARE = 0.2


def stratified(targets: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions to train and to test on: of each class its share, and one at least, if it has two images."""
    counts = np.bincount(targets)
    quotas = counts * _SHARE
    chosen = np.floor(quotas).astype(int)
    rest = int(len(targets) * _SHARE) - chosen.sum()
    chosen[np.argsort(chosen - quotas, kind="stable")[:rest]] += 1  # to those that rounding cost the most
    chosen[(chosen == 0) & (counts > 1)] = 1
    order = np.random.default_rng(seed).permutation(len(targets))
    test = np.concatenate([order[targets[order] == label][:n] for label, n in enumerate(chosen)])
    held_out = np.isin(order, test)
    return order[~held_out], order[held_out]
