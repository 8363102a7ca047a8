"""`xpnn report RUN`: the page of a run, made anew."""

from __future__ import annotations

import argparse
from pathlib import Path

from xpnn.backend import DataError
from xpnn.cli.evaluate import evaluate
from xpnn.cli.options import add_backend_options, add_data_options, choose_backend
from xpnn.cli.page import PAGE, Report, write_page
from xpnn.cli.record import HISTORY, read_record
from xpnn.cli.run import MODEL
from xpnn.cli.train import uses
from xpnn.io import read_checkpoint
from xpnn.train import History
from xpnn.train.history import is_history


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `report`."""
    parser = commands.add_parser(
        "report",
        help="write the page of a run",
        description="Test the network of a run again, and write its page: summary, curves, confusion matrix, "
        "classes, mistakes and settings in one HTML file that opens anywhere.",
    )
    parser.add_argument("folder_of_run", metavar="RUN", type=Path, help="a folder that `xpnn train` has left")
    add_data_options(parser, "where the images, or the original files of MNIST, are now")
    add_backend_options(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"the file (RUN/{PAGE})")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Write it."""
    choose_backend(arguments)
    folder: Path = arguments.folder_of_run
    checkpoint = folder / MODEL
    if not checkpoint.is_file():
        raise DataError(
            f"there is no finished run in '{folder}'",
            hint=f"A run is a folder that `xpnn train` has left, with {MODEL}",
        )
    tested = evaluate(arguments, checkpoint)
    record = read_checkpoint(checkpoint).config.get("record")
    history = read_record(folder).history if (folder / HISTORY).is_file() else History()
    if not is_history(history.rows()):
        raise DataError("is no history of a run", subject=f"'{folder / HISTORY}'")
    path = write_page(
        arguments.out or folder / PAGE,
        Report(
            tested.description,
            tested.data,
            tested.evaluation,
            history,
            record,
            uses(checkpoint),
        ),
    )
    arguments.console.result(str(path), **tested.evaluation.measures(), files=[str(path)])
    return 0
