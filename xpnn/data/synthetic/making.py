"""What all generated data share: the generator of a seed, checked counts, Tensors in a dataset."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, random
from xpnn.data.collate import default_convert
from xpnn.data.dataset import TensorDataset
from xpnn.data.seeding import fresh_seed


def generator_of(seed: Any) -> np.random.Generator:
    """The NumPy generator of a seed or generator; None takes what `manual_seed` determines."""
    if isinstance(seed, int | np.integer) and seed < 0:
        raise ArgumentError(f"expects a seed >= 0, got {seed}", subject="synthetic data")
    return random.host_generator_of(fresh_seed() if seed is None else seed)


def require_at_least(subject: str, least: float, **values: float) -> None:
    """Raise ArgumentError for a value below `least`, by its name."""
    for name, value in values.items():
        if not value >= least:
            raise ArgumentError(f"expects {name} >= {least}, got {value}", subject=subject)


def dataset_of(*arrays: np.ndarray) -> TensorDataset:
    """A dataset of Tensors of the current backend."""
    return TensorDataset(*map(default_convert, arrays))
