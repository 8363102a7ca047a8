"""Datasets for the tests of worker processes, which import this module and no more."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import namedtuple
from collections.abc import Iterator
from typing import Any

import numpy as np

import xpnn
from xpnn.data import ColorJitter, Compose, Dataset, IterableDataset, RandomCrop, get_worker_info

Pair = namedtuple("Pair", "image label")
IMAGES = np.random.default_rng(0).integers(0, 256, (13, 3, 6, 6), dtype=np.uint8)


class Augmented(Dataset):
    """Samples in Python, one by one, with random transforms; some fail, kill or sleep on demand."""

    def __init__(self, trouble: str = "", at: int = -1) -> None:
        self.trouble = trouble
        self.at = at
        self.transform = Compose([RandomCrop(4, padding=1), ColorJitter(0.5)])

    def __len__(self) -> int:
        return len(IMAGES)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index == self.at:
            if self.trouble == "raise":
                return {}[f"sample {index}"]
            if self.trouble == "odd":
                raise OddError(1, 2)
            if self.trouble == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.trouble == "exit":
                os._exit(3)
            if self.trouble == "sleep":
                time.sleep(300)
        return {
            "image": self.transform(IMAGES[index]), "pair": Pair(xpnn.tensor([index]), f"n{index}"),
            "noise": xpnn.randn(2), "pid": os.getpid(),
            "drawn": random.random() + np.random.random(),
        }  # fmt: skip


class OddError(Exception):
    """One that cannot be pickled."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


class Counting(IterableDataset):
    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        start, step = (0, 1) if info is None else (info.id, info.num_workers)
        for number in range(start, 10, step):
            yield number, random.random(), np.random.random()


def refuse(number: int) -> None:
    raise ValueError(f"not me, {number}")


def keep(samples: list) -> tuple:
    return (xpnn.stack([sample["pair"].image for sample in samples]), [sample["pid"] for sample in samples])
