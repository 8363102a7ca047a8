"""`xpnn train DATA`: train a network, test it, and leave behind what is needed to use it."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from xpnn.backend import AnomalyError, ArgumentError, MissingDependencyError, printable
from xpnn.cli.console import Console
from xpnn.cli.dataset import load_data
from xpnn.cli.options import add_backend_options, add_data_options, choose_backend, program
from xpnn.cli.page import PAGE, Report, record_of, write_page
from xpnn.cli.report import EXAMPLE, EXAMPLE_ROWS, AnyEvaluation, evaluation_of, save_pictures
from xpnn.cli.run import MODEL, Run, check_folder, checkpoints_of, newest_checkpoint
from xpnn.cli.settings import Settings, add_options, is_table
from xpnn.cli.trained import Description
from xpnn.io import lock_folder, read_checkpoint, save_checkpoint
from xpnn.train import Interrupted, Terminated
from xpnn.train.team import Team

_REQUIRED, _AUTO = "run", "auto"  # of --resume


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `train`."""
    parser = commands.add_parser(
        "train",
        help="train and test a network on images or on a table",
        description="Train a network on images or on a table, test it, and leave the network and pictures "
        "in a folder. "
        "Options that are left out take values that suit the data.",
    )
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help="digits (comes with the package), mnist, fashion-mnist, a folder with a folder of images for "
        "each class, or a CSV file",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="a TOML file of options; those given here count more"
    )
    add_data_options(parser, "where the original files of MNIST are (./data)")
    add_backend_options(parser)
    add_options(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder of the results (runs/DATA)")
    former = parser.add_mutually_exclusive_group()
    former.add_argument(
        "--resume",
        nargs="?",
        const=_REQUIRED,
        metavar="auto",
        help="go on with the interrupted run in that folder; auto begins one if there is none",
    )
    former.add_argument("--overwrite", action="store_true", help="replace the run in that folder by this one")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Train, test, and say what to do with the result."""
    _complete(arguments)
    choose_backend(arguments)
    name = Path(arguments.data)
    out = Path(arguments.out or Path("runs", name.stem if is_table(arguments.data) else name.name))
    checkpoint = _to_resume(arguments, out)
    settings = Settings.of(arguments)
    if checkpoint is not None:
        settings = Description.of(read_checkpoint(checkpoint)).settings.resumed(arguments)
    first = Team().rank == 0  # of several processes the first one says and writes everything
    if first:
        check_folder(out, replace=checkpoint is not None or arguments.overwrite)
    else:
        arguments.console = Console(quiet=True)
    data = load_data(settings, arguments.download)
    with ExitStack() as stack:
        if first:
            stack.enter_context(lock_folder(out))
        stack.enter_context(warnings.catch_warnings())
        # Of overflow: the loss then is no number, which ends the run with a line of advice.
        warnings.simplefilter("ignore", RuntimeWarning)
        return _run(arguments, out, checkpoint, Run.build(settings, data, out, progress=not arguments.quiet))


def _run(arguments: argparse.Namespace, out: Path, checkpoint: Path | None, run: Run) -> int:
    console, trainer, settings = arguments.console, run.trainer, run.description.settings
    run.announce(console)
    if arguments.overwrite and trainer.is_global_zero:
        for path in (*checkpoints_of(out), out / MODEL):
            path.unlink(missing_ok=True)
    started = time.perf_counter()
    try:
        if checkpoint is not None:
            trainer.load(checkpoint, run.train_loader)
        if trainer.epoch < settings.epochs:
            trainer.fit(run.train_loader, run.test_loader, settings.epochs - trainer.epoch)
        else:
            console.say(f"All {settings.epochs} epochs are done already; the network is tested again")
    except (Interrupted, Terminated) as ending:
        print(f"\n{_how_to_resume(ending, arguments)}", file=sys.stderr)
        return ending.code
    except AnomalyError as error:
        raise ArgumentError(
            error.problem,
            hint=f"Begin again with a lower learning rate, such as --lr {settings.lr / 10:g}",
        ) from error

    if not trainer.is_global_zero:
        return 0
    record = record_of(run, time.perf_counter() - started)
    evaluation = evaluation_of(run.model, run.test_loader, run.description)
    model = out / MODEL
    config = run.description.to_config() | {"record": record}
    save_checkpoint(model, config=config, random=False, model=run.model)
    title = f"{printable(out.name)}: {settings.model} on {printable(Path(settings.data).name)}"
    pictures = save_pictures(out, evaluation, run.data, trainer.history, console.say, title)
    files = [model, *pictures, *_page(out, run, evaluation, record)]
    console.say()
    console.result(
        evaluation.text(arguments.quiet),
        **evaluation.measures(),
        epochs=trainer.epoch,
        settings=settings.to_config(),
        out=str(out),
        files=[str(path) for path in files],
    )
    console.say(f"\nIn {printable(str(out))}: {', '.join(path.name for path in files)}\nUse it:")
    for command, _ in uses(model):
        console.say(f"  {command}")
    return 0


def _complete(arguments: argparse.Namespace) -> None:
    """See that there are data, also behind an option that may have a value and has none."""
    if arguments.resume not in (None, _REQUIRED, _AUTO):
        if arguments.data is not None:
            raise ArgumentError(
                f"is given alone or as --resume auto, got {arguments.resume!r}", subject="--resume"
            )
        arguments.data, arguments.resume = arguments.resume, _REQUIRED
    if arguments.data is None:
        raise ArgumentError(
            "expects DATA, or --config with a file that names it", hint="Try: xpnn train digits"
        )


def _to_resume(arguments: argparse.Namespace, out: Path) -> Path | None:
    """The checkpoint to go on from, if that is asked for."""
    if arguments.resume is None:
        return None
    checkpoint, damaged = newest_checkpoint(out) if out.is_dir() else (None, [])
    if checkpoint is None and (damaged or arguments.resume == _REQUIRED):
        problem = (
            f"finds only damaged checkpoints in '{out}'"
            if damaged
            else f"finds no interrupted run in '{out}'"
        )
        raise ArgumentError(problem, subject="--resume", hint="Leave it out to begin one")
    for path in damaged:
        print(f"xpnn train: '{printable(str(path))}' is damaged and is left aside", file=sys.stderr)
    if checkpoint is not None:
        arguments.console.say(f"going on from {printable(str(checkpoint))}")
    return checkpoint


def _how_to_resume(ending: Interrupted | Terminated, arguments: argparse.Namespace) -> str:
    done = f"interrupted after {ending.epochs} epochs and {ending.batches} batches"
    if ending.checkpoint is None:
        return f"{done}; nothing was saved"
    command = [program(), "train", arguments.data, "--resume"]
    if arguments.out:
        command += ["--out", str(arguments.out)]
    if arguments.backend not in (None, "numpy"):
        command += ["--backend", arguments.backend]
    if arguments.device:
        command += ["--device", arguments.device]
    return f"{done}; saved to {ending.checkpoint}. Go on with:\n  {shlex.join(command)}"


def _page(out: Path, run: Run, evaluation: AnyEvaluation, record: dict[str, Any]) -> list[Path]:
    """The page, unless a package for its pictures is missing, which was said with the pictures already."""
    commands = uses(out / MODEL)
    report = Report(run.description, run.data, evaluation, run.trainer.history, record, commands)
    try:
        return [write_page(out / PAGE, report)]
    except MissingDependencyError:
        return []


def uses(checkpoint: Path) -> list[tuple[str, str]]:
    """Commands that use the network, and what each is for."""
    commands = [([program(), "eval", str(checkpoint)], "Test it again:")]
    for name, purpose in ((EXAMPLE, "Classify image files:"), (EXAMPLE_ROWS, "Predict for rows of tables:")):
        example = checkpoint.with_name(name)
        if example.is_file():
            commands += [([program(), "predict", str(checkpoint), str(example)], purpose)]
    return [(shlex.join(words), purpose) for words, purpose in commands]
