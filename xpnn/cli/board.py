"""`xpnn board RUN...`: TensorBoard on runs."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

from xpnn.backend import ArgumentError, DataError, MissingDependencyError
from xpnn.cli.options import positive

_EVENTS = "events.out.tfevents*"


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `board`."""
    parser = commands.add_parser(
        "board",
        help="start TensorBoard on runs",
        description="Start TensorBoard, where it is installed, on the files that its logger has left in "
        "runs. Ctrl-C ends it.",
    )
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="folders of runs")
    parser.add_argument("--port", type=positive(int), default=6006, metavar="N", help="(%(default)s)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Start it, and wait for its end."""
    for folder in arguments.runs:
        if not folder.is_dir():
            raise DataError(f"there is no folder '{folder}'")
        if next(folder.rglob(_EVENTS), None) is None:
            raise DataError(
                f"there are no files of TensorBoard in '{folder}'",
                hint="A Trainer writes them with its TensorBoard logger; `xpnn plot` draws any run",
            )
    if importlib.util.find_spec("tensorboard") is None:
        raise MissingDependencyError(
            "TensorBoard is not installed", hint="Install it with: pip install tensorboard"
        )
    places = ["--logdir", str(arguments.runs[0])]
    if len(arguments.runs) > 1:
        places = ["--logdir_spec", ",".join(map(_named, arguments.runs))]
    command = [sys.executable, "-m", "tensorboard.main", *places, "--port", str(arguments.port)]
    arguments.console.say(f"TensorBoard: http://localhost:{arguments.port}  (Ctrl-C ends it)")
    return subprocess.call(command)


def _named(folder: Path) -> str:
    """A run in TensorBoard's list of them: commas separate runs, a colon a run's name from its folder."""
    if "," in str(folder):
        raise ArgumentError(
            f"cannot show '{folder}' beside others: there is a comma in it", subject="TensorBoard"
        )
    return f"{str(folder).replace(':', '_')}:{folder}"
