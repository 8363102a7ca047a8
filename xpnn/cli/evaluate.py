"""`xpnn eval CHECKPOINT`: how a trained network does on its test set."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from xpnn.backend import DataError, printable
from xpnn.cli.dataset import Data, load_data
from xpnn.cli.images import is_folder
from xpnn.cli.options import add_backend_options, add_data_options, choose_backend
from xpnn.cli.report import AnyEvaluation, evaluation_of, save_pictures
from xpnn.cli.tables import RowPreprocessing, Table
from xpnn.cli.trained import Description, load_trained
from xpnn.data import DataLoader

_BATCH_SIZE = 256


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `eval`."""
    parser = commands.add_parser(
        "eval",
        help="test a trained network",
        description="Test a trained network on the test set of the data that it was trained on.",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a file that `xpnn train` has left")
    add_data_options(parser, "where the images, or the original files of MNIST, are now")
    add_backend_options(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="leave pictures there")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print the accuracy and the confusion matrix."""
    choose_backend(arguments)
    tested = evaluate(arguments, Path(arguments.checkpoint))
    console, evaluation = arguments.console, tested.evaluation
    data = tested.description.settings.data
    console.result(evaluation.text(arguments.quiet), data=data, **evaluation.measures())
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        files = save_pictures(arguments.out, evaluation, tested.data, say=console.say)
        for file in files:
            console.say(str(file))
        console.result(files=[str(file) for file in files])
    return 0


@dataclass(frozen=True)
class Tested:
    """A trained network's description, the data it was tested on, and how it did."""

    description: Description
    data: Data
    evaluation: AnyEvaluation


def evaluate(arguments: argparse.Namespace, checkpoint: Path) -> Tested:
    """Test a network on the test set of its data, which --data and --download may say where to find.

    Raises: DataError if the data have other classes than the network.
    """
    model, description = load_trained(checkpoint)
    settings = description.settings
    rows = description.preprocessing if isinstance(description.preprocessing, RowPreprocessing) else None
    if arguments.folder:
        part = "data" if rows or is_folder(settings.data) else "folder"
        settings = replace(settings, **{part: arguments.folder})
    if rows:
        task = "classification" if description.classes else "regression"
        settings = replace(settings, target=rows.target, task=task)
    data = load_data(settings, arguments.download)
    if arguments.folder and isinstance(data, Table):
        data = data.tested_whole(description.classes)
    if data.classes != description.classes:
        raise DataError(
            f"has the classes {', '.join(data.classes)}, the network was trained on "
            f"{', '.join(description.classes)}",
            subject=f"'{settings.data}'",
        )
    _, test = data.datasets(description.preprocessing, settings)  # type: ignore[arg-type]
    arguments.console.say(f"{printable(settings.data)}: {len(test):,} test {data.unit}")
    return Tested(description, data, evaluation_of(model, DataLoader(test, _BATCH_SIZE), description))
