"""`xpnn predict CHECKPOINT IMAGE...`: what a trained network says to images."""

from __future__ import annotations

import argparse

import numpy as np

from xpnn import functional as F
from xpnn.autograd import no_grad
from xpnn.backend import asarray, to_numpy
from xpnn.cli.options import add_backend_options, choose_backend
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
    """Print a line for each image: the likeliest classes with their probabilities."""
    choose_backend(arguments)
    model, description = load_trained(arguments.checkpoint)
    for path in arguments.images:
        image = asarray(description.preprocessing.read(path, arguments.invert)[None])
        with no_grad():
            probabilities = to_numpy(F.softmax(model(image), dim=1))[0]
        best = np.argsort(-probabilities, kind="stable")[:_SHOWN]
        first, *others = (f"{description.classes[label]} ({probabilities[label]:.1%})" for label in best)
        print(f"{path}: {first}, then {', '.join(others)}")
    return 0
