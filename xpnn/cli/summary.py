"""`xpnn summary MODEL`: a network's layers with their output shapes, parameters and work."""

from __future__ import annotations

import argparse

from xpnn import models
from xpnn.cli.options import positive
from xpnn.nn import summary


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `summary`."""
    parser = commands.add_parser(
        "summary",
        help="show the layers of a model",
        description="Show a model's layers with output shapes, parameters and multiply-adds. "
        f"Models: {', '.join(models.names())}.",
    )
    parser.add_argument("model", metavar="MODEL", help="the model's name")
    parser.add_argument("--size", type=positive(int), help="the side of the images (the model's own)")
    parser.add_argument("--channels", type=positive(int), help="channels of the images (the model's own)")
    parser.add_argument("--classes", type=positive(int), default=10, help="number of classes (%(default)s)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    channels, size, _ = models.input_shape(arguments.model)
    channels, size = arguments.channels or channels, arguments.size or size
    model = models.create(
        arguments.model, num_classes=arguments.classes, in_channels=channels, image_size=size
    )
    table = summary(model, (1, channels, size, size))
    arguments.console.result(str(table), model=arguments.model, parameters=table.parameters)
    return 0
