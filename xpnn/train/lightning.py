"""Lightning's names, for programs that are written for it: `import xpnn.train.lightning as L`.

`L.LightningModule`, `L.LightningDataModule`, `L.Trainer`, `L.Callback` and `L.seed_everything` are here;
callbacks and loggers are in `xpnn.train.callbacks` and `xpnn.train.loggers`.
"""

from __future__ import annotations

import random as python_random
import secrets

from xpnn.backend import random
from xpnn.train.callbacks.base import Callback
from xpnn.train.data_module import DataModule as LightningDataModule
from xpnn.train.lr_finder import Tuner
from xpnn.train.module import TrainingModule as LightningModule
from xpnn.train.trainer import Trainer

__all__ = ["Callback", "LightningDataModule", "LightningModule", "Trainer", "Tuner", "seed_everything"]


def seed_everything(seed: int | None = None, workers: bool = False, verbose: bool = True) -> int:
    """Start the random numbers of xpnn and of Python's `random` anew.

    Args:
        seed: the seed; None draws one.
        workers: has no effect: what loads data is seeded anyway.
        verbose: has no effect.

    Returns: the seed.

    >>> seed_everything(42, workers=True)
    42
    """
    seed = secrets.randbelow(2**32) if seed is None else seed
    random.manual_seed(seed)
    python_random.seed(seed)
    return seed
