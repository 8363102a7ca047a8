"""`xpnn export CHECKPOINT`: a trained network for other programs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from xpnn.backend import ArgumentError, printable
from xpnn.cli.trained import load_trained
from xpnn.io import save_file

FORMATS = ("safetensors", "onnx")


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `export`."""
    parser = commands.add_parser(
        "export",
        help="write a trained network for other programs",
        description="Write the weights of a trained network, under PyTorch's names, without the state of its "
        "training: to a safetensors file, whose metadata say how the network is built and what its input is.",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a file that `xpnn train` has left")
    parser.add_argument("--format", choices=FORMATS, help="the format (that of the file's ending)")
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="the file (weights.safetensors beside CHECKPOINT)"
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Write it."""
    out = arguments.out or Path(arguments.checkpoint).with_name("weights.safetensors")
    kind = arguments.format or out.suffix.removeprefix(".")
    if kind == "onnx":
        raise ArgumentError(
            "cannot write ONNX in this version of xpnn",
            subject="export",
            hint="Use --format safetensors: the same network in PyTorch loads it, and exports ONNX",
        )
    if kind not in FORMATS:
        raise ArgumentError(
            f"expects a file that ends with .{FORMATS[0]}, got '{out}'",
            subject="--out",
            hint="Or give --format",
        )
    if out.resolve() == Path(arguments.checkpoint).resolve():
        raise ArgumentError(f"expects another file than the checkpoint, got '{out}'", subject="--out")
    model, description = load_trained(arguments.checkpoint)
    config = {key: json.dumps(value) for key, value in description.to_config().items()}
    save_file(model.state_dict(), out, {"format": "pt", **config})
    count = sum(parameter.size for parameter in model.parameters())
    arguments.console.say(f"{count:,} parameters of {description.settings.model} under PyTorch's names in:")
    arguments.console.result(printable(str(out)), file=str(out), parameters=count)
    return 0
