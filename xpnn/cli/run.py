"""A training run as the command line makes it from settings: network, optimizer, loaders and Trainer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from xpnn.backend import (
    ArgumentError,
    get_backend,
    get_device,
    get_num_threads,
    get_precision,
    manual_seed,
    numba_switch,
    printable,
)
from xpnn.cli.console import Console
from xpnn.cli.dataset import Data
from xpnn.cli.images import Mixed
from xpnn.cli.settings import Settings
from xpnn.cli.tables import Table
from xpnn.cli.trained import Description
from xpnn.data import DataLoader
from xpnn.data.dataset import is_batched
from xpnn.functional import cross_entropy, mse_loss
from xpnn.metrics import Accuracy
from xpnn.nn import Module
from xpnn.optim import (
    SGD,
    Adam,
    AdamW,
    CosineAnnealingLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    Optimizer,
)
from xpnn.train import Callback, ModelCheckpoint, ProgressBar, Trainer
from xpnn.train.resuming import first_whole

_TEST_BATCH_SIZE = 256
LAST, MODEL = "last.safetensors", "model.safetensors"


@dataclass(frozen=True)
class Run:
    """What trains a network, and what it is trained on.

    Attributes:
        trainer: with the network, at its first epoch.
        description: of the network, for its checkpoints.
        train_loader, test_loader: of batches.
    """

    trainer: Trainer
    description: Description
    data: Data
    train_loader: DataLoader
    test_loader: DataLoader

    @property
    def model(self) -> Module:
        """The network."""
        return self.trainer.model

    @classmethod
    def build(
        cls,
        settings: Settings,
        data: Data,
        out: Path | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
    ) -> Run:
        """Make everything anew, with random numbers from the settings' seed."""
        manual_seed(settings.seed)
        preprocessing = data.fit(settings)
        description = Description(settings, preprocessing, data.classes)
        model = description.build_model()
        train, test = data.datasets(preprocessing, settings)  # type: ignore[arg-type]
        alone = isinstance(train, Mixed) and not is_batched(train.dataset)  # a file for each image
        train_loader = DataLoader(
            train, settings.batch_size, shuffle=True, seed=settings.seed, num_workers=1 if alone else None
        )
        test_loader = DataLoader(test, _TEST_BATCH_SIZE)
        optimizer = _optimizer(settings, model)
        bar = [ProgressBar(unit=data.unit)] if progress else []
        trainer = Trainer(
            model,
            optimizer,
            partial(cross_entropy, label_smoothing=settings.label_smoothing) if data.classes else mse_loss,
            scheduler=_schedule(settings, optimizer, settings.epochs * len(train_loader)),
            scheduler_interval="batch",
            metrics={"accuracy": Accuracy()} if data.classes else {},
            callbacks=[*([] if out is None else [SaveLast()]), *callbacks, *bar],
            out=out,
            compile=True,
            progress=progress,
            config=description.to_config(),
        )
        return cls(trainer, description, data, train_loader, test_loader)

    def announce(self, console: Console) -> None:
        """Say all that changes the numbers."""
        settings, data = self.description.settings, self.data
        train, test = len(self.train_loader.dataset), len(self.test_loader.dataset)
        what = f"{len(data.classes)} classes" if data.classes else "a number to predict"
        if isinstance(data, Table):
            what += f" ({printable(data.target_name)})"
        samples = f"{train:,} training and {test:,} test {data.unit} of {data.size}"
        console.say(f"{printable(settings.data)}: {samples}, {what}")
        for note in data.notes:
            console.say(printable(note))
        if data.untested:
            console.say(f"too few {data.unit} to test on some of them: {printable(', '.join(data.untested))}")
        parameters = sum(parameter.size for parameter in self.model.parameters())
        smoothing = f"label smoothing {settings.label_smoothing:g}, " if data.classes else ""
        console.say(f"{settings.model}: {parameters:,} parameters, on {machine()}")
        console.say(
            f"{settings.epochs} epochs in batches of {settings.batch_size}, {settings.optimizer}, "
            f"learning rate {settings.lr:g} ({settings.schedule}), weight decay {settings.weight_decay:g}, "
            f"{smoothing}augmentation {settings.augment}, "
            f"seed {settings.seed}"
        )


class SaveLast(ModelCheckpoint):
    """Saves the run after each epoch. There is no best epoch: only the test set could tell it."""

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        """Save it."""
        trainer.save(trainer.out / LAST)  # type: ignore[operator]


def checkpoints_of(out: Path) -> list[Path]:
    """The files in a folder that may be checkpoints of a run."""
    return [path for path in out.glob("*.safetensors") if path.name != MODEL and path.is_file()]


def newest_checkpoint(out: Path) -> tuple[Path | None, list[Path]]:
    """The newest checkpoint of a run that is whole, or None, and newer ones that are damaged."""
    newest = sorted(checkpoints_of(out), key=lambda path: path.stat().st_mtime, reverse=True)
    path, damaged = first_whole(newest)
    return path, list(damaged)


def check_folder(out: Path, replace: bool) -> None:
    """Find out before a run what would be found only after its first epoch.

    Raises: ArgumentError for what is no folder to write to, or, without `replace`, for one with a run in it.
    """
    there = next(folder for folder in (out, *out.parents) if folder.exists())
    if not there.is_dir():
        raise ArgumentError(f"expects a folder, got '{out}': '{there}' is a file", subject="--out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ArgumentError(f"expects a folder that can be written, got '{out}'", subject="--out")
    if not replace and any((out / name).exists() for name in (LAST, MODEL)):
        raise ArgumentError(
            f"holds a run already: '{out}'",
            subject="--out",
            hint="Go on with it by --resume, replace it by --overwrite, or choose another folder",
        )


def machine() -> str:
    """What computes, and how exactly."""
    backend, parts = get_backend().name, ["float32", f"precision {get_precision()}"]
    if get_device() is not None:
        parts.insert(0, str(get_device()))
    if backend == "numpy":
        threads = get_num_threads()
        parts.append(f"{threads} thread{'s' if threads > 1 else ''}")
        parts.append(f"Numba {'on' if numba_switch.numba_enabled() else 'off'}")
    return f"{backend} ({', '.join(parts)})"


def _optimizer(settings: Settings, model: Module) -> Optimizer:
    options: dict[str, Any] = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    if settings.optimizer == "sgd":
        return SGD(model.parameters(), momentum=0.9, nesterov=True, **options)
    return {"adam": Adam, "adamw": AdamW}[settings.optimizer](model.parameters(), **options)


def _schedule(settings: Settings, optimizer: Optimizer, steps: int) -> LRScheduler | None:
    """A schedule over all steps of the run."""
    if settings.schedule == "onecycle":
        return OneCycleLR(optimizer, settings.lr, total_steps=steps)
    if settings.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    if settings.schedule == "step":
        return MultiStepLR(optimizer, milestones=[steps // 2, 3 * steps // 4])
    return None
