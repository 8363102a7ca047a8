"""`xpnn predict CHECKPOINT FILE...`: what a trained network says to images, or to rows of tables."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

from xpnn import functional as F
from xpnn.autograd import no_grad
from xpnn.backend import ArgumentError, DataError, asarray, printable, to_numpy
from xpnn.cli.options import add_backend_options, choose_backend
from xpnn.cli.report import finite, one_line
from xpnn.cli.settings import is_table
from xpnn.cli.tables import RowPreprocessing
from xpnn.cli.trained import Description, load_trained
from xpnn.data.csv_file import read_csv
from xpnn.data.folder import EXTENSIONS

_SHOWN = 3


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `predict`."""
    parser = commands.add_parser(
        "predict",
        help="apply a trained network to image files or to tables",
        description="Classify image files, which are made grey or coloured and brought to the size that the "
        "network was trained on; or predict for each row of CSV files that have the same columns.",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a file that `xpnn train` has left")
    parser.add_argument("files", metavar="FILE", nargs="+", help="image files, or CSV files of rows")
    parser.add_argument(
        "--invert", action="store_true", help="swap black and white: for dark digits on light paper"
    )
    add_backend_options(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each image or row: the likeliest classes with their probabilities, or the number.

    Returns: 0; 1 if some files cannot be read, each of which is a line on stderr.

    Raises: DataError if none can be read.
    """
    choose_backend(arguments)
    model, description = load_trained(arguments.checkpoint)
    read = _rows if isinstance(description.preprocessing, RowPreprocessing) else _image
    said: list[dict[str, Any]] = []
    unread = []
    for path in arguments.files:
        try:
            inputs, names = read(path, description, arguments)
        except DataError as error:
            unread.append(error)
            if len(unread) < len(arguments.files):
                print(f"xpnn predict: {one_line(error)}", file=sys.stderr)
            continue
        with no_grad():
            scores = model(asarray(inputs))
            outputs = finite(to_numpy(F.softmax(scores, dim=1) if description.classes else scores))
        for name, output in zip(names, outputs):
            text, values = _answer(output, description)
            said.append({"file": path, **values})
            arguments.console.result(f"{printable(name)}: {text}", predictions=said)
    if len(unread) == len(arguments.files):
        raise unread[-1]
    return 1 if unread else 0


def _image(
    path: str, description: Description, arguments: argparse.Namespace
) -> tuple[np.ndarray, list[str]]:
    """An image as a batch, and its name."""
    if is_table(path):
        raise DataError(
            f"{path} is a table, and the network was trained on images", hint="Give files of images"
        )
    return description.preprocessing.read(path, arguments.invert)[None], [path]  # type: ignore[union-attr]


def _rows(path: str, description: Description, arguments: argparse.Namespace) -> tuple[np.ndarray, list[str]]:
    """The rows of a table as a batch, and their names."""
    if arguments.invert:
        raise ArgumentError("is an option for images", subject="--invert", hint="Leave it out")
    if path.lower().endswith(EXTENSIONS):
        raise DataError(
            f"{path} is an image, and the network was trained on rows of a table",
            hint="Give a CSV file of rows",
        )
    inputs = description.preprocessing.encode(read_csv(path), path)  # type: ignore[union-attr]
    return inputs, [f"{path} row {number}" for number in range(1, len(inputs) + 1)]


def _answer(output: np.ndarray, description: Description) -> tuple[str, dict[str, Any]]:
    """What an output (C,) says: for a person, and JSON-ready."""
    if description.classes:
        best = np.argsort(-output, kind="stable")[:_SHOWN]
        classes = [printable(f"{description.classes[label]} ({output[label]:.1%})") for label in best]
        text = f"{classes[0]}{', then ' if classes[1:] else ''}{', '.join(classes[1:])}"
        return text, {"probabilities": dict(zip(description.classes, output.tolist()))}
    target: Any = description.preprocessing
    value = float(target.in_unit(output)[0])
    return f"{printable(target.target)} {value:.6g}", {"value": value}
