"""`xpnn predict CHECKPOINT IMAGE...`: what a trained network says to images."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

from xpnn import functional as F
from xpnn.autograd import no_grad
from xpnn.backend import DataError, asarray, printable, to_numpy
from xpnn.cli.options import add_backend_options, choose_backend
from xpnn.cli.report import finite, one_line
from xpnn.cli.trained import load_trained

_SHOWN = 3


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `predict`."""
    parser = commands.add_parser(
        "predict",
        help="classify image files with a trained network",
        description="Classify image files. They are made grey or coloured and brought to the size that the "
        "network was trained on.",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a file that `xpnn train` has left")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="image files")
    parser.add_argument(
        "--invert", action="store_true", help="swap black and white: for dark digits on light paper"
    )
    add_backend_options(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each image: the likeliest classes with their probabilities.

    Returns: 0; 1 if some images cannot be read, each of which is a line on stderr.

    Raises: DataError if none can be read.
    """
    choose_backend(arguments)
    model, description = load_trained(arguments.checkpoint)
    unread = []
    said: list[dict[str, Any]] = []
    for path in arguments.images:
        try:
            image = asarray(description.preprocessing.read(path, arguments.invert)[None])
        except DataError as error:
            unread.append(error)
            if len(unread) < len(arguments.images):
                print(f"xpnn predict: {one_line(error)}", file=sys.stderr)
            continue
        with no_grad():
            probabilities = finite(to_numpy(F.softmax(model(image), dim=1)))[0]
        best = np.argsort(-probabilities, kind="stable")[:_SHOWN]
        classes = (f"{description.classes[label]} ({probabilities[label]:.1%})" for label in best)
        first, *others = map(printable, classes)
        said.append({"file": path, "probabilities": dict(zip(description.classes, probabilities.tolist()))})
        arguments.console.result(
            f"{printable(path)}: {first}{', then ' if others else ''}{', '.join(others)}", predictions=said
        )
    if len(unread) == len(arguments.images):
        raise unread[-1]
    return 1 if unread else 0
