"""Epoch throughput of the DataLoader against PyTorch's, on the same transforms.

    python ci/data_speed.py [--rounds 7] [--json FILE]

10,000 images of 32 x 32 in batches of 64, shuffled: as they are ("arrays"), and with a random crop, a random
flip, floats and normalisation ("augmented"), of a dataset of arrays and of a user's own dataset that gives
sample by sample ("own"). PyTorch's side is a dataset of its own with the same four steps in its tensor
operations, with torch.utils.data in its usual form. Every measurement is a process of its own; they take
turns, round after round. The table gives the medians in milliseconds an epoch and their ratio; workers are
started before the clock.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

COUNT, BATCH, EPOCHS = 10_000, 64, 3
TASKS = ("arrays", "augmented", "own")
SIDES = ("pytorch", "xpnn", "xpnn-processes")
_RNG = np.random.default_rng(0)
IMAGES = _RNG.integers(0, 256, (COUNT, 3, 32, 32), dtype=np.uint8)
LABELS = _RNG.integers(10, size=COUNT)


class Own:
    """A dataset as users write it; for worker processes it stands at the top of the module."""

    def __init__(self, images: Any, labels: Any, transform: Callable[[Any], Any] | None) -> None:
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Any:
        image = self.images[index]
        return (image if self.transform is None else self.transform(image)), self.labels[index]


def torch_augmented(image: Any) -> Any:
    torch = importlib.import_module("torch")
    padded = torch.nn.functional.pad(image, (4, 4, 4, 4))
    top, left = torch.randint(9, (2,)).tolist()
    image = padded[:, top : top + 32, left : left + 32]
    if torch.rand(()) < 0.5:
        image = image.flip(-1)
    return (image.to(torch.float32) / 255 - 0.5) / 0.25


def loader_of(side: str, task: str, workers: int) -> Any:
    if side == "pytorch":
        torch = importlib.import_module("torch")
        data = torch.utils.data
        images, labels = torch.from_numpy(IMAGES), torch.from_numpy(LABELS)
        dataset = data.TensorDataset(images, labels)
        if task != "arrays":
            dataset = Own(images, labels, torch_augmented)
        return data.DataLoader(
            dataset, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
        )
    data = importlib.import_module("xpnn.data")
    steps = [data.RandomCrop(32, padding=4), data.RandomHorizontalFlip(), data.ToFloat()]
    transform = data.Compose([*steps, data.Normalize([0.5] * 3, [0.25] * 3)])
    if task == "own":
        dataset = Own(IMAGES, LABELS, transform)
    else:
        dataset = data.TensorDataset(IMAGES, LABELS, transform=transform if task == "augmented" else None)
    processes = {"multiprocessing_context": "spawn", "persistent_workers": True}
    options = processes if side == "xpnn-processes" else {}
    return data.DataLoader(dataset, BATCH, shuffle=True, num_workers=workers, **options)


def seconds_an_epoch(side: str, task: str, workers: int) -> float:
    """The best of some epochs, after one to warm up."""
    loader = loader_of(side, task, workers)
    times = []
    for _ in range(EPOCHS + 1):
        start = time.perf_counter()
        seen = sum(len(batch[1]) for batch in loader)
        times.append(time.perf_counter() - start)
        if seen != COUNT:
            raise SystemExit(f"{side} gave {seen} samples of {COUNT}")
    return min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        side, task, workers = options.one
        print(seconds_an_epoch(side, task, int(workers)))
        return
    rows = []
    print(f"{'task':10} {'workers':>7} {'side':15} {'ms':>8} {'ratio':>6}")
    for task in TASKS:
        for workers in (0, 2):
            sides = [side for side in SIDES if workers or side != "xpnn-processes"]
            samples: dict[str, list[float]] = {side: [] for side in sides}
            for _ in range(options.rounds):
                for side in sides:
                    command = [sys.executable, __file__, "--one", side, task, str(workers)]
                    result = subprocess.run(command, capture_output=True, text=True, check=True)
                    samples[side].append(float(result.stdout))
            medians = {side: statistics.median(values) for side, values in samples.items()}
            for side, median in medians.items():
                ratio = median / medians["pytorch"]
                rows.append(
                    {"task": task, "workers": workers, "side": side, "seconds": median, "ratio": ratio}
                )
                print(f"{task:10} {workers:7} {side:15} {median * 1e3:8.1f} {ratio:6.2f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
