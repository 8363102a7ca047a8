"""`xpnn train DATA`: train a network, test it, and leave behind what is needed to use it."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

from xpnn.backend import (
    AnomalyError,
    ArgumentError,
    get_backend,
    get_device,
    manual_seed,
    printable,
)
from xpnn.cli.images import Images, Preprocessing, load_images
from xpnn.cli.options import add_backend_options, add_data_options, choose_backend
from xpnn.cli.report import EXAMPLE, Evaluation, save_pictures
from xpnn.cli.settings import Settings, add_options
from xpnn.cli.trained import Description
from xpnn.data import DataLoader, RandomCrop, RandomHorizontalFlip, TransformDataset
from xpnn.functional import cross_entropy
from xpnn.io import lock_folder, read_checkpoint, save_checkpoint
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
from xpnn.train import Interrupted, ModelCheckpoint, ProgressBar, Terminated, Trainer

_TEST_BATCH_SIZE = 256
_LAST, _MODEL = "last.safetensors", "model.safetensors"


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `train`."""
    parser = commands.add_parser(
        "train",
        help="train and test a network on images",
        description="Train a network on images, test it, and leave the network and pictures in a folder. "
        "Options that are left out take values that suit the data.",
    )
    parser.add_argument(
        "data",
        metavar="DATA",
        help="digits (comes with the package), mnist, fashion-mnist, or a folder with a folder of images for "
        "each class",
    )
    add_data_options(parser, "where the original files of MNIST are (./data)")
    add_backend_options(parser)
    add_options(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder of the results (runs/DATA)")
    former = parser.add_mutually_exclusive_group()
    former.add_argument("--resume", action="store_true", help="go on with the interrupted run in that folder")
    former.add_argument("--overwrite", action="store_true", help="replace the run in that folder by this one")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Train, test, and say what to do with the result."""
    choose_backend(arguments)
    out = arguments.out or Path("runs", Path(arguments.data).name)
    settings = _settings(arguments, out)
    _check_folder(out, arguments)
    images = load_images(settings, arguments.download)
    with lock_folder(out), warnings.catch_warnings():
        # Of overflow: the loss then is no number, which ends the run with a line of advice.
        warnings.simplefilter("ignore", RuntimeWarning)
        return _run(arguments, out, settings, images)


def _run(arguments: argparse.Namespace, out: Path, settings: Settings, images: Images) -> int:
    manual_seed(settings.seed)
    preprocessing = Preprocessing.fit(images.train, settings.size, settings.channels)
    description = Description(settings, preprocessing, images.classes)
    model = description.build_model()
    _announce(images, description, model)

    train = TransformDataset(images.train, preprocessing.transform(*_augmentation(settings)))
    train_loader = DataLoader(train, settings.batch_size, shuffle=True, seed=settings.seed)
    test_loader = DataLoader(TransformDataset(images.test, preprocessing.transform()), _TEST_BATCH_SIZE)
    optimizer = _optimizer(settings, model)
    trainer = Trainer(
        model,
        optimizer,
        lambda outputs, labels: cross_entropy(outputs, labels, label_smoothing=settings.label_smoothing),
        scheduler=_schedule(settings, optimizer, settings.epochs * len(train_loader)),
        scheduler_interval="batch",
        metrics={"accuracy": Accuracy()},
        callbacks=[_SaveLast(), ProgressBar(unit="images")],
        out=out,
        compile=True,
        config=description.to_config(),
    )
    if arguments.overwrite:
        for name in (_LAST, _MODEL):
            (out / name).unlink(missing_ok=True)
    try:
        if arguments.resume:
            trainer.load(out / "last.safetensors", train_loader)
        if trainer.epoch < settings.epochs:
            trainer.fit(train_loader, test_loader, settings.epochs - trainer.epoch)
        else:
            print(f"All {settings.epochs} epochs are done already; the network is tested again")
    except (Interrupted, Terminated) as ending:
        print(f"\n{_how_to_resume(ending, arguments)}", file=sys.stderr)
        return ending.code
    except AnomalyError as error:
        raise ArgumentError(
            error.problem,
            hint=f"Begin again with a lower learning rate, such as --lr {settings.lr / 10:g}",
        ) from error

    evaluation = Evaluation.of(model, test_loader, images.classes)
    checkpoint = out / _MODEL
    save_checkpoint(checkpoint, config=description.to_config(), random=False, model=model)
    pictures = save_pictures(out, evaluation, images.test, trainer.history)
    print(f"\n{evaluation}\n")
    print(f"In {printable(str(out))}: {', '.join(path.name for path in (checkpoint, *pictures))}")
    print("Use it:")
    for command in _uses(checkpoint, pictures):
        print(f"  {command}")
    return 0


class _SaveLast(ModelCheckpoint):
    """Saves the run after each epoch. There is no best epoch: only the test set could tell it."""

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        trainer.save(trainer.out / _LAST)  # type: ignore[operator]


def _settings(arguments: argparse.Namespace, out: Path) -> Settings:
    if not arguments.resume:
        return Settings.of(arguments)
    last = out / _LAST
    if not last.exists():
        raise ArgumentError(
            f"finds no interrupted run in '{out}'", subject="--resume", hint="Leave it out to begin one"
        )
    return Description.of(read_checkpoint(last)).settings.resumed(arguments)


def _check_folder(out: Path, arguments: argparse.Namespace) -> None:
    """What would be found only after the first epoch."""
    there = next(folder for folder in (out, *out.parents) if folder.exists())
    if not there.is_dir():
        raise ArgumentError(f"expects a folder, got '{out}': '{there}' is a file", subject="--out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ArgumentError(f"expects a folder that can be written, got '{out}'", subject="--out")
    if not arguments.resume and not arguments.overwrite and any((out / x).exists() for x in (_LAST, _MODEL)):
        raise ArgumentError(
            f"holds a run already: '{out}'",
            subject="--out",
            hint="Go on with it by --resume, replace it by --overwrite, or choose another folder",
        )


def _announce(images: Images, description: Description, model: Module) -> None:
    settings = description.settings
    size = f"{settings.channels} x {settings.size} x {settings.size}"
    print(
        f"{printable(settings.data)}: "
        f"{len(images.train):,} training and {len(images.test):,} test images of {size}, "
        f"{len(images.classes)} classes"
    )
    if images.untested:
        print(f"too few images to test on some of them: {printable(', '.join(images.untested))}")
    parameters = sum(parameter.size for parameter in model.parameters())
    device = f" ({get_device()})" if get_device() is not None else ""
    print(f"{settings.model}: {parameters:,} parameters, on {get_backend()}{device}")
    print(
        f"{settings.epochs} epochs in batches of {settings.batch_size}, {settings.optimizer}, "
        f"learning rate {settings.lr:g} ({settings.schedule}), augmentation {settings.augment}, "
        f"seed {settings.seed}",
        flush=True,
    )


def _augmentation(settings: Settings) -> list[Any]:
    """Crops move the image by a sixteenth of its size at most, on a ground of zeros."""
    kinds = {
        "crop": RandomCrop(settings.size, padding=max(settings.size // 16, 1)),
        "flip": RandomHorizontalFlip(),
    }
    return [] if settings.augment == "none" else [kinds[name] for name in settings.augment.split("+")]


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


def _how_to_resume(ending: Interrupted | Terminated, arguments: argparse.Namespace) -> str:
    done = f"interrupted after {ending.epochs} epochs and {ending.batches} batches"
    if ending.checkpoint is None:
        return f"{done}; nothing was saved"
    command = [_program(), "train", arguments.data, "--resume"]
    if arguments.out:
        command += ["--out", str(arguments.out)]
    if arguments.backend != "numpy":
        command += ["--backend", arguments.backend]
    if arguments.device:
        command += ["--device", arguments.device]
    return f"{done}; saved to {ending.checkpoint}. Go on with:\n  {shlex.join(command)}"


def _uses(checkpoint: Path, pictures: list[Path]) -> list[str]:
    """Commands that use the network."""
    commands = [[_program(), "eval", str(checkpoint)]]
    commands += [
        [_program(), "predict", str(checkpoint), str(path)] for path in pictures if path.name == EXAMPLE
    ]
    return [shlex.join(command) for command in commands]


def _program() -> str:
    """How the program is called from the folder that we are in, also where its environment is not active."""
    path = Path(sys.argv[0])
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else "xpnn"
