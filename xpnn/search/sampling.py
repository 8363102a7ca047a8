"""How values are chosen and hopeless trials found, with random numbers that depend on the trial alone."""

from __future__ import annotations

import random
import warnings
from typing import Any

from xpnn.backend import optional_import

_FACTOR = 3  # ASHA lets one in so many go on
_PRIME = 1_000_003


class SeededSampler:
    """Optuna's sampler for `method`, made anew for each trial from a seed and the trial's index.

    So the numbers that are drawn do not depend on which process draws them, or on an interruption before.

    Attributes:
        index: of the trial that is asked for next.
    """

    def __init__(self, method: str, seed: int) -> None:
        self.index = 0
        self._method = method
        self._seed = seed
        self._inner: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def before_trial(self, study: Any, trial: Any) -> None:
        """Make the sampler."""
        samplers = optional_import("optuna.samplers", extra="search")
        seed = (self._seed * _PRIME + self.index) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is experimental
            if self._method == "tpe":
                self._inner = samplers.TPESampler(seed=seed, constant_liar=True)
            else:
                self._inner = samplers.RandomSampler(seed=seed)
        self._inner.before_trial(study, trial)

    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
        """The samplers have nothing to do then."""


def make_pruner(name: str) -> Any:
    """Optuna's pruner "none" or "asha"."""
    pruners = optional_import("optuna.pruners", extra="search")
    if name == "none":
        return pruners.NopPruner()
    return pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=_FACTOR)


def shuffled(count: int, seed: int) -> list[int]:
    """The numbers below `count` in an order of the seed's."""
    return random.Random(seed).sample(range(count), count)
